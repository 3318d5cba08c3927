import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { install, planUninstall, uninstall } from '../../src/schema/install.ts'
import { type RealServer, realServer, type TestDatabase } from '../support/postgres.ts'
import { catalogueDifference, readCatalogue } from './catalogue.ts'
import { detach } from './detach.ts'

/** What Escapement adds to pgAgent's schema, created or repaired, and why. Its functions come with their comments. */
const added = {
  'so that agents are told of changed jobs': [
    'trigger escapement_nudge_insert',
    'trigger escapement_nudge_update',
    'comment escapement_nudge_insert',
    'comment escapement_nudge_update',
    ...functions('escapement_nudge'),
  ],
  'so that an agent claims only what is due': [
    'trigger escapement_refuse_claim',
    'comment escapement_refuse_claim',
    ...functions('escapement_refuse_claim'),
  ],
  'so that due jobs and long logs are found quickly': [
    ...index('escapement_job_claimed'),
    ...index('escapement_job_due'),
    ...index('escapement_joblog_job'),
    ...index('escapement_jobsteplog_step'),
  ],
  'so that next runs are found as schedules say': functions(
    'escapement_catch_up',
    'escapement_clock_change',
    'escapement_every_second_minute',
    'escapement_instant',
    'escapement_is_time_zone',
    'escapement_job_next_run',
    'escapement_minute',
    'escapement_next_match',
    'escapement_next_run',
    'escapement_next_run_here',
    'escapement_next_unexcepted',
    'escapement_selected',
    'escapement_setting',
    'escapement_time_zone',
  ),
  'so that somebody can ask why a job did not run': [
    'relation escapement_history',
    'relation escapement_history_id_seq',
    'sequence escapement_history_id_seq',
    'constraint escapement_history',
    'comment escapement_history',
    ...['id', 'at', 'what', 'job', 'who', 'details'].map((column) => `column escapement_history ${column}`),
    ...['what', 'job', 'who', 'details'].map(() => 'comment escapement_history'),
    ...['_pkey', '_at', '_job'].flatMap((name) => index(`escapement_history${name}`)),
    ...['agent', 'exception', 'job_insert', 'job_update', 'schedule', 'schedule_delete'].flatMap((name) => [
      `trigger escapement_remember_${name}`,
      `comment escapement_remember_${name}`,
    ]),
    ...functions('escapement_remember_agent', 'escapement_remember_exception', 'escapement_remember_job'),
    ...functions('escapement_remember_schedule', 'escapement_note', 'escapement_forget'),
  ],
  'so that an installation knows which functions are there': functions('escapement_version'),
}

/** What differs in a schema that Escapement created, and why. */
const createdOtherwise = {
  'it belongs to no extension, so that a dump holds all of it': ['- comment: extension pgagent'],
  'two schedules may except the same moment': [
    '- index: CREATE UNIQUE INDEX pga_exception_datetime ON pgagent.pga_exception USING btree (jexdate, jextime)',
    '+ index: CREATE UNIQUE INDEX pga_exception_datetime ON pgagent.pga_exception USING btree (jexscid, jexdate, jextime)',
  ],
  'agents claim and free jobs without a call of a function that has nothing to do': [
    '- trigger: CREATE TRIGGER pga_job_trigger BEFORE UPDATE ON pgagent.pga_job FOR EACH ROW EXECUTE FUNCTION pgagent.pga_job_trigger() O',
    '+ trigger: CREATE TRIGGER pga_job_trigger BEFORE UPDATE ON pgagent.pga_job FOR EACH ROW WHEN (((NOT new.jobenabled) OR (new.jobnextrun IS NULL) OR (new.jobdesc <> old.jobdesc))) EXECUTE FUNCTION pgagent.pga_job_trigger() O',
  ],
  "pgAgent's comment on exceptions stands on schedules": ['+ comment: table pgagent.pga_exception'],
  'the 32nd month day needs a word': ['+ comment: table column pgagent.pga_schedule.jscmonthdays'],
}

/** What a repair adds besides, and why. */
const keptByRepair = {
  'so that the functions that it replaced can be restored': [
    'relation escapement_original',
    'comment escapement_original',
    ...['function', 'definition', 'remark'].map((column) => `column escapement_original ${column}`),
    'constraint escapement_original',
    ...index('escapement_original_pkey'),
  ],
}

describe('the catalogue of the schema', () => {
  let server: RealServer | undefined
  const opened: TestDatabase[] = []
  beforeAll(async () => {
    server = await realServer()
  })
  afterAll(() => Promise.all(opened.map((database) => database.drop())))

  test('as Escapement creates it is that of the real extension, but for a written list', async ({ skip }) => {
    const real = await readCatalogue(await databaseOf(skip, { extension: true }))
    const client = await databaseOf(skip)
    await install(client)

    const columns = real.filter((line) => line.startsWith('column:'))
    expect([real.length > 150, columns.length]).toEqual([true, 56])
    const { ours, others } = divided(catalogueDifference(real, await readCatalogue(client)))
    expect(others.sort()).toEqual(Object.values(createdOtherwise).flat().sort())
    expect(ours).toEqual(Object.values(added).flat().sort())
  })

  test.for([
    ['by extension', true],
    ['by plain script', false],
  ] as const)(
    'of a pgAgent %s gains a written list by a repair, and loses it again, to the last word',
    async ([, extension], { skip }) => {
      const client = await databaseOf(skip, { extension: true })
      if (!extension) await detach(client)
      const before = await readCatalogue(client, { inWords: true })

      await install(client, { repair: true })
      const repaired = await readCatalogue(client)
      const { ours, others } = divided(catalogueDifference(withoutWords(before), repaired))
      expect(others).toEqual([])
      expect(ours).toEqual([...Object.values(added), ...Object.values(keptByRepair)].flat().sort())

      await uninstall(client)
      expect(catalogueDifference(before, await readCatalogue(client, { inWords: true }))).toEqual([])
      expect((await planUninstall(client)).sql).toBe('')
    },
  )

  test('is found to differ in whatever is altered', async ({ skip }) => {
    const client = await databaseOf(skip, { extension: true })
    const before = await readCatalogue(client, { inWords: true })
    for (const [alteration, kinds] of alterations) {
      await client.query('BEGIN')
      await client.query(alteration)
      const difference = catalogueDifference(before, await readCatalogue(client, { inWords: true }))
      await client.query('ROLLBACK')
      const found = [...new Set(difference.map((line) => line.split(/[ :]+/)[1]))]
      expect([alteration, found]).toEqual([alteration, kinds])
    }
  })

  async function databaseOf(skip: () => unknown, options = {}): Promise<Client> {
    const database = await server?.createDatabase(options)
    if (database === undefined) return skip() as never
    opened.push(database)
    return database.client()
  }
})

/** Alterations of a schema, each with the kinds of lines that it must change. */
const alterations: [string, string[]][] = [
  ["ALTER TABLE pgagent.pga_job ALTER jobdesc SET DEFAULT 'x'", ['column']],
  ['ALTER TABLE pgagent.pga_job ALTER jobdesc DROP NOT NULL', ['column']],
  ['ALTER TABLE pgagent.pga_jobsteplog ALTER jslresult TYPE int8', ['column']],
  ['ALTER TABLE pgagent.pga_joblog RENAME CONSTRAINT pga_joblog_jlgstatus_check TO other', ['constraint']],
  ['DROP INDEX pgagent.pga_joblog_jobid', ['relation', 'index']],
  ['ALTER SEQUENCE pgagent.pga_job_jobid_seq INCREMENT 2', ['sequence']],
  ['ALTER FUNCTION pgagent.pga_is_leap_year(int2) STRICT', ['function']],
  ['ALTER TABLE pgagent.pga_job DISABLE TRIGGER pga_job_trigger', ['trigger']],
  ['COMMENT ON TABLE pgagent.pga_job IS NULL', ['comment', 'words']],
  ["COMMENT ON TABLE pgagent.pga_job IS 'Other words'", ['words']],
  ["UPDATE pgagent.pga_jobclass SET jclname = 'Other' WHERE jclid = 5", ['row']],
  ['GRANT SELECT ON pgagent.pga_job TO public', ['relation']],
  ['GRANT USAGE ON SCHEMA pgagent TO public', ['schema']],
  ['ALTER EXTENSION pgagent DROP FUNCTION pgagent.pga_is_leap_year(int2)', ['member']],
]

function functions(...names: string[]): string[] {
  return names.flatMap((name) => [`function ${name}`, `comment ${name}`])
}

function index(name: string): string[] {
  return [`relation ${name}`, `index ${name}`]
}

/** Differences that bear Escapement's name, shortened to what they are, and the others as they are. */
function divided(differences: readonly string[]): { ours: string[]; others: string[] } {
  const ours = differences.flatMap((line) => {
    const [, kind, name, column = ''] = /^\+ (\w+): .*?\b(escapement_\w+)(?: \d+ (\w+))?/.exec(line) ?? []
    return kind === undefined ? [] : [`${kind} ${name} ${column}`.trimEnd()]
  })
  return { ours: ours.sort(), others: differences.filter((line) => !/^\+ \w+: .*\bescapement_/.test(line)) }
}

function withoutWords(catalogue: readonly string[]): string[] {
  return catalogue.filter((line) => !/^(body|words|member):/.test(line))
}
