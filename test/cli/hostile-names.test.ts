import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AgentProcess } from '../support/agent-process.ts'
import { createJob, ended, runNow } from '../support/jobs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { escapement } from './escapement.ts'

/** Quotes, a forged line, escapes of 7 and 8 bits, marks that turn the order of reading, and what shells, SQL and HTML obey. */
const hostile = [
  `it's "quoted" \\ %s %n $(touch PWNED) \`touch PWNED\` ; touch PWNED`,
  'ERROR: forged\r\n2026 INFO: forged',
  '\u001b[2J\u001b]0;title\u0007 \u009b31m \u007f \u202eevil\u202c \u200f\u061c\u2066 \u2028',
  `</title><script>alert(1)</script> & ]]> '); DROP TABLE pgagent.pga_job; --`,
].join('\n')

/** All that ends a line or does something to a terminal, but for the line breaks between lines. */
const harmful = /[^\P{Cc}\n\t]|[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/u
const harmfulInLog = /[^\P{Cc}\n]|[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/u

describe('names, code, output and settings that mean ill', () => {
  let database: TestDatabase
  let client: Client
  let folder: string
  const jobs: number[] = []

  beforeAll(async () => {
    database = await createDatabase({ schema: 'installed', tcp: true })
    client = await database.client()
    folder = mkdtempSync(join(tmpdir(), 'escapement-hostile-'))
    const name = (word: string) => `${word} ${hostile}`
    jobs.push(
      await createJob(client, name('says'), [
        {
          name: name('sql'),
          code: `DO $x$ BEGIN RAISE NOTICE '%', ${literal(hostile)}; END $x$; SELECT 1 AS "evil\n"`,
        },
        { name: name('shell'), kind: 'b', code: `printf '%s\\n' "$ESCAPEMENT_JOB_NAME" "$ESCAPEMENT_STEP_NAME"` },
      ]),
      await createJob(client, name('fails'), [
        { name: name('sql'), code: `DO $x$ BEGIN RAISE '%', ${literal(hostile)}; END $x$`, onError: 'i' },
        { name: name('database'), code: 'SELECT 1', database: `no ${hostile}`.slice(0, 60), onError: 'i' },
        {
          name: name('connection'),
          code: 'SELECT 1',
          conninfo: `host='${hostile.replaceAll(/['\\]/g, '\\$&')}'`,
          onError: 'i',
        },
        { name: name('unreadable'), code: 'SELECT 1', conninfo: `${hostile}=x`, onError: 'i' },
        { name: name('interpreter'), kind: 'b', code: `#!/no/${hostile}`, onError: 'i' },
        { name: name('request'), kind: 'b', code: `#!http\nGET http://${hostile}/`, onError: 'f' },
      ]),
      await createJob(
        client,
        name('set'),
        [{ code: 'SELECT 1', comment: `@timeout ${hostile}` }],
        `@timezone ${hostile}`,
      ),
    )
    await client.query(
      `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscdesc, jscminutes)
       SELECT jobid, $1, $1, ARRAY(SELECT minute = 0 FROM generate_series(0, 59) AS minute) FROM pgagent.pga_job`,
      [hostile],
    )
    await client.query("UPDATE pgagent.pga_job SET jobnextrun = 'infinity'")
  })

  afterAll(async () => {
    await database.drop()
    rmSync(folder, { recursive: true, force: true })
  })

  test.each(['text', 'json'])(
    'are one harmless line each in a log as %s, and run as they are written',
    async (format) => {
      const agent = new AgentProcess(['-l', '2', '--log-format', format, database.conninfo], { TMPDIR: folder })
      await agent.serving()
      await client.query('TRUNCATE pgagent.pga_joblog CASCADE')
      for (const job of jobs) await runNow(client, job)
      const ends: string[] = []
      for (const job of jobs) ends.push(await ended(client, job, 60_000))
      expect(await agent.stop()).toBe(0)
      expect(ends).toEqual(['s', 'f', 'f'])

      expect(agent.log + agent.errors).not.toMatch(harmfulInLog)
      const lines = agent.log.trimEnd().split('\n')
      for (const line of lines) {
        if (format === 'json') expect(JSON.parse(line)).toHaveProperty('severity')
        else expect(line).toMatch(/^\w{3} \w{3} \d+ [\d:]{8} \d{4} (INFO|DEBUG|WARNING): /)
      }
      if (format === 'json') {
        expect(lines.map((line) => JSON.parse(line).job)).toContain(`says ${hostile}`)
      }
      const { rows } = await client.query(
        `SELECT jsloutput FROM pgagent.pga_jobsteplog JOIN pgagent.pga_jobstep ON jstid = jsljstid
       WHERE jstname LIKE 'shell%' ORDER BY jslid DESC LIMIT 1`,
      )
      expect(rows[0]?.jsloutput).toBe(`says ${hostile}\nshell ${hostile}\n`)
    },
  )

  describe.concurrent('do nothing to the terminal in the answer of', () => {
    test.each([
      ...[
        ['jobs'],
        ['runs'],
        ['runs', '--output'],
        ['doctor', '--all', '--connect-timeout', '1s'],
        ['rehearse', '--all'],
      ],
      ...[
        ['shadow', '--for', '1s', '--all'],
        ['adopt', '--print', '--anyway'],
        ['hand-back', '--print'],
      ],
      ...[
        ['run', '1'],
        ['abort', `fails ${hostile}`],
        ['abort', `fails ${hostile}x`],
      ],
    ])('%s %s', { timeout: 180_000 }, async (command, ...words) => {
      for (const json of [[], ['--json']]) {
        const { stdout, stderr } = await escapement([command, ...json, ...words, '--db', database.conninfo])
        expect(stdout + stderr).not.toMatch(harmful)
        expect(stdout.length + stderr.length).toBeGreaterThan(10)
        if (json.length > 0 && stdout !== '') JSON.parse(stdout)
      }
    })

    test('rehearse --svg', async () => {
      const file = join(folder, 'timeline.svg')
      await escapement(['rehearse', '--svg', file, database.conninfo])
      const svg = readFileSync(file, 'utf8')
      expect(svg).toContain('&lt;script&gt;')
      expect(svg).not.toMatch(/<script|\]\]>/)
      expect(svg).not.toMatch(harmful)
    })
  })

  test('were never run, nor taken for SQL', async () => {
    expect((await client.query('SELECT FROM pgagent.pga_job')).rowCount).toBe(3)
    expect(() => readFileSync('PWNED')).toThrow('ENOENT')
  })
})

function literal(text: string): string {
  return `E'${text.replaceAll(/['\\]/g, '\\$&')}'`
}
