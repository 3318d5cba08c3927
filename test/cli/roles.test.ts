import { readFileSync } from 'node:fs'
import { Client, escapeIdentifier } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RoleNames, rolesSql } from '../../src/cli/roles.ts'
import * as pgadmin from '../clients/pgadmin-statements.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { attemptsOf, createJob, ended, runNow } from '../support/jobs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { escapement } from './escapement.ts'

const password = 'open sesame'

describe('the roles that "install --roles" prints', () => {
  let database: TestDatabase
  let owner: Client
  let names: RoleNames
  const clients: Client[] = []

  /** Roles are the server's, so their names are this test's own, and as odd as names may be. */
  beforeAll(async () => {
    database = await createDatabase({ schema: 'installed', tcp: true })
    owner = await database.client()
    names = {
      agent: `the "agent" of ${database.name}`,
      editor: `it's '' $$ \\ ${database.name}`,
      reader: `reader;--\n${database.name}`,
    }
    const options = ['--agent-role', names.agent, '--editor-role', names.editor, '--reader-role', names.reader]
    const { stdout, stderr, exitCode } = await escapement(['install', '--roles', ...options])
    expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 })
    await owner.query(stdout)
    await owner.query(stdout)
    for (const name of Object.values(names)) {
      await owner.query(`ALTER ROLE ${escapeIdentifier(name)} LOGIN PASSWORD '${password}'`)
    }
  })

  afterAll(async () => {
    await Promise.all(clients.map((client) => client.end()))
    for (const name of Object.values(names)) {
      await owner.query(`DROP OWNED BY ${escapeIdentifier(name)}; DROP ROLE ${escapeIdentifier(name)}`)
    }
    await database.drop()
  })

  async function as(user: string): Promise<Client> {
    const { host, port, name } = database
    const client = new Client({ host, port, database: name, user, password })
    await client.connect()
    clients.push(client)
    return client
  }

  const conninfoOf = (role: string) =>
    `${database.conninfo} user='${role.replaceAll(/['\\]/g, '\\$&')}' password='${password}'`

  test('are enough for an agent that serves, is told of changes, and aborts', async () => {
    const agent = await new AgentProcess(['-l', '2', conninfoOf(names.agent)]).serving()
    try {
      const quick = await createJob(owner, 'quick', [{ code: 'SELECT 1' }, { kind: 'b', code: 'echo done' }])
      await runNow(owner, quick)
      expect(await ended(owner, quick)).toBe('s')
      const slow = await createJob(owner, 'slow', [{ code: 'SELECT pg_sleep(600)' }])

      // As the editor, the whole way by the commands.
      const run = await escapement(['run', 'slow', conninfoOf(names.editor)])
      expect(run).toMatchObject({ stderr: '', exitCode: 0 })
      const aborted = await escapement(['abort', 'slow', conninfoOf(names.editor)])
      expect(aborted).toMatchObject({ stderr: '', exitCode: 0 })
      expect((await attemptsOf(owner, slow)).map(({ status }) => status)).toEqual(['d'])
    } finally {
      expect(await agent.stop()).toBe(0)
    }
    expect(agent.log).not.toMatch(/WARNING: (?!run|step)|ERROR/)
  })

  test('keep the agent from changing what people define', async () => {
    const agent = await as(names.agent)
    const id = await createJob(owner, 'defined', [{ code: 'SELECT 1' }])
    for (const statement of [
      `UPDATE pgagent.pga_jobstep SET jstcode = 'x' WHERE jstjobid = ${id}`,
      `INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode) VALUES (${id}, 'x', 'b', 'x')`,
      `DELETE FROM pgagent.pga_job WHERE jobid = ${id}`,
      'UPDATE pgagent.pga_schedule SET jscenabled = false',
      'DELETE FROM pgagent.pga_joblog',
      'CREATE TABLE pgagent.mine ()',
    ]) {
      await expect(agent.query(statement)).rejects.toMatchObject({ code: '42501' })
    }
  })

  test('let an editor do all that pgAdmin does', async () => {
    const editor = await as(names.editor)
    const all = async (sql: string) => (await editor.query(sql)).rows
    expect(await all(pgadmin.detection)).toEqual([{ has_priviledge: true }])
    expect(await all(pgadmin.remoteConnections)).toEqual([{ remote: true }])
    expect(await all(pgadmin.jobClasses)).toHaveLength(5)

    const schedule = { name: 'hourly', start: '2050-01-01 00:00:00+00', minutes: [0] }
    await editor.query('BEGIN')
    await editor.query(
      pgadmin.createJob({
        name: 'edited',
        steps: [{ name: 'one', kind: 'b', code: 'true' }],
        schedules: [{ ...schedule, exceptions: [{ date: '2050-01-01' }] }],
      }),
    )
    const [created] = await all(pgadmin.createdJob)
    await editor.query('COMMIT')
    const job: number = created?.jobid
    await editor.query(pgadmin.createSchedule(job, { ...schedule, name: 'second' }))
    await editor.query(
      pgadmin.insertStep(job, { name: 'two', kind: 's', code: 'SELECT 1', database: 'postgres' }, 'RETURNING jstid'),
    )
    for (const sql of [pgadmin.jobNodes(job), pgadmin.jobProperties(job), pgadmin.jobStatistics(job)]) await all(sql)
    const steps = await all(pgadmin.stepProperties(job))
    const schedules = await all(pgadmin.scheduleProperties(job))
    expect([steps.length, schedules.length]).toEqual([2, 2])
    const step: number = steps[0].jstid
    const [{ jscid, jexid }] = schedules
    for (const sql of [
      pgadmin.stepNodes(job),
      pgadmin.stepStatistics(step),
      pgadmin.scheduleNodes(job),
      pgadmin.updateStep(job, step, "jstcode = 'false', jstonerror = 'i'"),
      pgadmin.updateSchedule(job, jscid, 'jscenabled = false'),
      pgadmin.insertException(jscid, { time: '01:00:00' }),
      pgadmin.updateException(jscid, jexid[0], "jexdate = '2050-02-01'"),
      pgadmin.deleteException(jscid, jexid[0]),
      `UPDATE pgagent.pga_job SET jobname = 'renamed', jobdesc = 'new', jobhostagent = 'alpha', jobenabled = false, jobjclid = 2
       WHERE jobid = ${job}`,
      pgadmin.runNow(job),
    ]) {
      await editor.query(sql)
    }
    await editor.query(pgadmin.deleteStep(job, step))
    await editor.query(pgadmin.deleteSchedule(job, jscid))
    // A job with a history goes with it, though the editor may not touch the logs.
    await owner.query(`INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus) VALUES (${job}, 's')`)
    await editor.query(pgadmin.deleteJob(job))
    expect((await owner.query('SELECT FROM pgagent.pga_joblog WHERE jlgjobid = $1', [job])).rowCount).toBe(0)
  })

  test.each([
    "UPDATE pgagent.pga_joblog SET jlgstatus = 's'",
    'DELETE FROM pgagent.pga_joblog',
    "UPDATE pgagent.pga_jobsteplog SET jsloutput = ''",
    'INSERT INTO pgagent.pga_joblog (jlgjobid) VALUES (1)',
    'UPDATE pgagent.pga_job SET jobagentid = NULL',
    'UPDATE pgagent.pga_job SET joblastrun = now()',
    "INSERT INTO pgagent.pga_jobagent VALUES (1, now(), 'x')",
    'DELETE FROM pgagent.pga_jobagent',
    "UPDATE pgagent.pga_jobclass SET jclname = 'x'",
    'CREATE FUNCTION pgagent.mine() RETURNS int LANGUAGE sql AS $$SELECT 1$$',
    'DROP TABLE pgagent.pga_exception',
  ])('let neither an editor nor a reader do: %s', async (statement) => {
    for (const name of [names.editor, names.reader]) {
      await expect((await as(name)).query(statement)).rejects.toMatchObject({ code: '42501' })
    }
  })

  test('let a reader read, and change nothing', async () => {
    const reader = await as(names.reader)
    const id = await createJob(owner, 'read', [{ code: 'SELECT 1' }])
    for (const sql of [
      pgadmin.detection,
      pgadmin.jobNodes(),
      pgadmin.jobProperties(),
      pgadmin.jobStatistics(id),
      pgadmin.stepProperties(id),
      pgadmin.scheduleProperties(id),
      pgadmin.jobClasses,
    ]) {
      await reader.query(sql)
    }
    for (const command of ['jobs', 'runs', 'rehearse']) {
      expect([command, await escapement([command, conninfoOf(names.reader)])]).toMatchObject([command, { exitCode: 0 }])
    }
    const { rows } = await owner.query(
      `SELECT relname, privilege_type FROM pg_class, aclexplode(relacl)
       WHERE relnamespace = 'pgagent'::regnamespace AND grantee = $1::regrole AND privilege_type <> 'SELECT'`,
      [escapeIdentifier(names.reader)],
    )
    expect(rows).toEqual([])
  })

  test('are granted what the README says, and nothing else', () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
    const told = /```sql\n(GRANT USAGE ON SCHEMA[^`]*)```/.exec(readme)?.[1] ?? ''
    const sql = rolesSql({ agent: 'scheduler', editor: 'e', reader: 'r' }).replaceAll('"', '')
    const printed = sql.split('\n').filter((line) => / TO scheduler;$/.test(line))
    expect(rightsIn(told.split('\n'))).toEqual(rightsIn(printed))
  })
})

test('names that PostgreSQL would cut, none, and one for two roles are refused', async () => {
  const fine = { agent: 'a', editor: 'b', reader: 'c' }
  expect(() => rolesSql({ ...fine, agent: 'ä'.repeat(32) })).toThrow('the name of a role may have 63 bytes')
  expect(() => rolesSql({ ...fine, reader: '' })).toThrow('a role needs a name')
  expect(() => rolesSql({ ...fine, editor: 'a' })).toThrow('the three roles need three names')
  const line = 'error: --roles goes with neither --repair nor --uninstall'
  expect(await escapement(['install', '--roles', '--repair'])).toEqual({ stdout: '', stderr: line, exitCode: 2 })
})

/** `SELECT pga_job` and the like, sorted, since one GRANT may name several tables. */
function rightsIn(grants: readonly string[]): readonly string[] {
  return grants
    .flatMap((grant) => {
      const [, verbs = '', kind = '', things = ''] =
        /^GRANT (.*) ON (SCHEMA |SEQUENCE )?(.*) TO \w+;$/.exec(grant) ?? []
      return things.split(', ').flatMap((thing) => verbs.split(', ').map((verb) => `${verb} ${kind}${thing}`))
    })
    .filter((right) => right !== ' ')
    .sort()
}
