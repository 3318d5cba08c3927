import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { stopServer } from '../../src/embedded/server.ts'
import { until } from '../support/until.ts'
import { escapement, spawnEscapement } from './escapement.ts'

describe('escapement start', { timeout: 90_000 }, () => {
  let place: string
  let folder: string
  beforeEach(async () => {
    place = await realpath(await mkdtemp(join(tmpdir(), 'escapement start ')))
    folder = join(place, 'data')
  })
  afterEach(async () => {
    if (existsSync(folder)) await stopServer(folder)
    await rm(place, { recursive: true, force: true })
  })

  const isRunning = () => existsSync(join(folder, 'cluster/postmaster.pid'))

  /** Starts a quick start that stays, and collects what it says. */
  const startQuick = () => {
    const child = spawnEscapement(['start'], place)
    const quick = { child, said: '', ended: once(child, 'close').then(([code]) => code as number) }
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        quick.said += text
      })
    }
    return quick
  }
  type Quick = ReturnType<typeof startQuick>

  const succeeded = async (quick: Quick) => {
    for (const job of ['sample-sql', 'sample-shell', 'sample-http']) {
      await until(() => quick.said.includes(`of ${job} succeeded`), {
        timeoutMs: 60_000,
        what: `${job} to succeed in:\n${quick.said}`,
      })
    }
  }

  const connect = async () => {
    const [host, port, , user, password] = (await readFile(join(folder, 'pgpass'), 'utf8')).trim().split(':')
    const client = new pg.Client({ host, port: Number(port), user, password, database: 'postgres' })
    await client.connect()
    return client
  }

  test('--once runs each sample job, ends with 0, and leaves no server', async () => {
    const { stdout, stderr, exitCode } = await escapement(['start', '--once', '--data', folder])

    expect(stderr).toBe('')
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/run \d+ of sample-sql succeeded after/)
    expect(stdout).toMatch(/run \d+ of sample-shell succeeded after \S+: Hello from run \d+ of sample-shell/)
    expect(stdout).toMatch(/run \d+ of sample-http succeeded after \S+: \{"hello":/)
    expect(stdout).toContain('Each sample job has succeeded once.')
    expect(isRunning()).toBe(false)
  })

  test('shows how to look at it, a second one joins in, and an interrupt ends it all', async () => {
    const quick = startQuick()
    await succeeded(quick)
    const password = await readFile(join(folder, 'password'), 'utf8')
    expect(quick.said).not.toContain(password)
    expect((await stat(join(folder, 'pgpass'))).mode & 0o777).toBe(0o600)

    const [, conninfo = ''] = /family at it:\n {2}(.*)\n/.exec(quick.said) ?? []
    expect(JSON.parse((await escapement(['jobs', '--json', conninfo])).stdout)).toHaveLength(3)
    const [, exported = ''] = /export (.*)\n/.exec(quick.said) ?? []
    const env = Object.fromEntries(
      [...exported.matchAll(/(\w+)=('[^']*'|\S+)/g)].map(([, name, value]) => [name, value?.replaceAll("'", '')]),
    )
    const shell = await escapement(['run', 'sample-shell', '--wait'], env)
    expect(shell.stdout).toContain('Hello from run')
    expect(shell.exitCode).toBe(0)

    const second = await escapement(['start', '--once', '--data', folder])
    expect(second.stdout).toContain(
      'A quick start runs here already: this one runs the sample jobs again, and shows the runs.',
    )
    expect(second.exitCode).toBe(0)
    expect(isRunning()).toBe(true)

    quick.child.kill('SIGINT')
    expect(await quick.ended).toBe(0)
    expect(isRunning()).toBe(false)
  })

  test('an interrupt while a script runs says what it waits for, and a second one aborts that', async () => {
    const quick = startQuick()
    await succeeded(quick)
    const client = await connect()
    await client.query(`
      UPDATE pgagent.pga_jobstep SET jstcode = 'touch ${join(place, 'begun').replaceAll(' ', '\\ ')}; sleep 60'
      FROM pgagent.pga_job WHERE jobid = jstjobid AND jobname = 'sample-shell';
      UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobname = 'sample-shell'`)
    await client.end()
    await until(() => existsSync(join(place, 'begun')), { what: 'the script to begin' })

    quick.child.kill('SIGINT')
    await until(() => quick.said.includes('\nLeaving: a run may go on for 10s; Ctrl-C once more aborts now.\n'), {
      what: `a line about what it waits for in:\n${quick.said}`,
    })
    quick.child.kill('SIGINT')

    expect(await quick.ended).toBe(0)
    expect(quick.said).toMatch(/run \d+ of sample-shell aborted after/)
    expect(isRunning()).toBe(false)
  })

  test('a server that somebody else stops ends it, with 1 and a line that says why', async () => {
    const quick = startQuick()
    await succeeded(quick)

    await stopServer(folder)

    expect(await quick.ended).toBe(1)
    expect(quick.said.trimEnd().split('\n').at(-1)).toMatch(
      /^error: postgres@127\.0\.0\.1:\d+\/postgres: FATAL: {2}terminating connection due to administrator command$/,
    )
  })

  test('a server that was left over is used, and the jobs stay as people have changed them', async () => {
    const killed = startQuick()
    await succeeded(killed)
    killed.child.kill('SIGKILL')
    await killed.ended
    expect(isRunning()).toBe(true)
    const client = await connect()
    await client.query(`
      UPDATE pgagent.pga_jobstep SET jstcode = 'echo my own words'
      FROM pgagent.pga_job WHERE jobid = jstjobid AND jobname = 'sample-shell';
      UPDATE pgagent.pga_jobstep SET jstcode = regexp_replace(jstcode, ':\\d+/', ':1/')
      FROM pgagent.pga_job WHERE jobid = jstjobid AND jobname = 'sample-http'`)
    await client.end()

    const { stdout, exitCode } = await escapement(['start', '--once', '--data', folder])

    expect(stdout).toContain(': my own words\n')
    expect(stdout).toContain('Each sample job has succeeded once.')
    expect(exitCode).toBe(0)
    expect(isRunning()).toBe(false)
  })

  test('--once ends with 1, and says which job has failed and what it said', async () => {
    const quick = startQuick()
    await succeeded(quick)
    const client = await connect()
    await client.query(`
      UPDATE pgagent.pga_jobstep SET jstcode = 'echo out of paper; exit 9'
      FROM pgagent.pga_job WHERE jobid = jstjobid AND jobname = 'sample-shell'`)
    await client.end()
    quick.child.kill('SIGTERM')
    await quick.ended

    const { stdout, stderr, exitCode } = await escapement(['start', '--once', '--data', folder])

    expect(stdout).toMatch(/"sample-shell": failed, .*\n.*attempt 1: failed.*, result 9\n {4}out of paper\n/)
    expect(stderr).toBe('error: not every sample job has succeeded: sample-shell failed')
    expect(exitCode).toBe(1)
    expect(isRunning()).toBe(false)
  })

  test('leaves no server when nobody reads its output any longer', async () => {
    const quick = startQuick()
    await succeeded(quick)

    quick.child.stdout.destroy()
    const client = await connect()
    await client.query(`UPDATE pgagent.pga_job SET jobnextrun = now(); NOTIFY escapement, 'nudge'`)
    await client.end()

    expect(await quick.ended).toBe(0)
    expect(isRunning()).toBe(false)
  })

  test("does not put its files among somebody else's", async () => {
    await mkdir(folder)
    await writeFile(join(folder, 'thesis.txt'), 'precious')

    expect(await escapement(['start', '--data', folder])).toEqual({
      stdout: '',
      stderr: `error: ${folder} holds other files: name another folder, maybe a new one, by --data`,
      exitCode: 1,
    })
  })
})
