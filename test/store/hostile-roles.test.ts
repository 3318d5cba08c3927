import { Effect, Exit, Scope, Stream } from 'effect'
import { Client } from 'pg'
import { describe, expect, test } from 'vitest'
import { parseConninfo } from '../../src/postgres/conninfo.ts'
import { postgresStore } from '../../src/store/postgres.ts'
import type { Command } from '../../src/store/store.ts'
import { createJob } from '../support/jobs.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'

/** An operator that fits better than the system's, in the statements of an agent and in the functions of the schema. */
const trap = (left: string, right: string) => `
  CREATE FUNCTION public.trap(${left}, ${right}) RETURNS ${left} LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO public.loot VALUES (current_user, 'caught'); RETURN $1; END $$;
  CREATE OPERATOR public.* (LEFTARG = ${left}, RIGHTARG = ${right}, FUNCTION = public.trap);`

describe.concurrent('a role that may connect, and create in schema public as in PostgreSQL 14 and older', () => {
  test.each([
    ['nothing', undefined],
    ['a warning', 'everybody may create functions in schema "public"'],
  ])(
    'has no function of its own run by the agent, nor by who edits; with triggers of the site: %s',
    async (_, warned) => {
      const site = await openSite()
      const { admin, planter, store, commands } = site
      await planter.query(`CREATE TABLE public.loot (who text, what text); GRANT INSERT ON public.loot TO PUBLIC;`)
      await planter.query(trap('numeric', 'int'))
      await planter.query(trap('interval', 'int4'))
      if (warned !== undefined) {
        await planter.query('DROP OPERATOR public.* (numeric, int); DROP OPERATOR public.* (interval, int4)')
        await admin.query(`
        CREATE TABLE public.seen (run int);
        CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS
          $$BEGIN INSERT INTO seen VALUES (NEW.jlgid); RETURN NULL; END$$;
        CREATE TRIGGER see AFTER INSERT ON pgagent.pga_joblog FOR EACH ROW EXECUTE FUNCTION public.see()`)
      }
      await admin.query('SELECT 1.5::numeric * 2')
      const caughtBefore = await rows(admin, 'SELECT FROM public.loot')
      expect(caughtBefore).toHaveLength(warned === undefined ? 1 : 0)

      const job = await createJob(admin, 'job', [{ kind: 'b', code: 'true' }])
      await admin.query(
        `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscminutes, jschours)
       SELECT $1, 'daily', ARRAY(SELECT n = 0 FROM generate_series(0, 59) AS n), ARRAY(SELECT n = 3 FROM generate_series(0, 23) AS n)`,
        [job],
      )
      await admin.query('UPDATE pgagent.pga_job SET jobnextrun = now()')
      await run(store.connect)
      await run(store.checkSchema)
      await run(store.register([]))
      const [claimed] = (await run(store.claimDue(() => 1))).runs
      if (claimed === undefined) throw new Error('nothing was claimed')
      await run(store.finishRun(claimed, 'succeeded', undefined))

      expect(await rows(admin, 'SELECT FROM public.loot')).toHaveLength(caughtBefore.length)
      if (warned !== undefined) {
        expect(await rows(admin, 'SELECT FROM public.seen')).toHaveLength(1)
        const heard = commands()
        await until(() => heard.some((command) => 'reason' in command && command.reason.includes(warned)), {
          what: 'the warning',
        })
      }
      await site.close()
    },
  )

  test('may not abort a run, which is said; an editor may; who is gone is not believed', async () => {
    const site = await openSite()
    const { admin, planter, store, commands } = site
    await run(store.connect)
    const heard = commands()
    const told = (command: Command) =>
      until(() => heard.find((each) => JSON.stringify(each).includes(JSON.stringify(command).slice(1, -2))), {
        what: JSON.stringify([command, heard]),
      })

    await planter.query("NOTIFY escapement, 'abort 5'")
    await told({
      type: 'trouble',
      reason: `role "${site.role}" asks to abort job 5, and may not: that takes the right to UPDATE pgagent.pga_job (further ones within a minute are not told of)`,
    })
    await admin.query("NOTIFY escapement, 'abort 6'")
    await told({ type: 'abort', jobId: 6 })
    await admin.query(
      `GRANT USAGE ON SCHEMA pgagent TO ${site.role}; GRANT UPDATE (jobnextrun) ON pgagent.pga_job TO ${site.role}`,
    )
    await planter.query("NOTIFY escapement, 'abort 7'")
    await told({ type: 'abort', jobId: 7 })

    // While a lock holds up the agent's session, senders come and go before they can be asked about.
    const others = await Promise.all([site.another(), site.another(), site.another()])
    await admin.query('BEGIN; LOCK TABLE pgagent.pga_job')
    const held = run(store.claimDue(() => 1))
    for (const [index, other] of others.entries()) {
      await other.query(`NOTIFY escapement, 'abort 8${index}'`)
      await other.end()
    }
    await admin.query('ROLLBACK')
    await held
    await until(
      () => heard.find((command) => 'reason' in command && command.reason.includes('by a session that is gone')),
      { what: `word of the one that is gone: ${JSON.stringify(heard)}` },
    )
    expect(heard.some((command) => command.type === 'abort' && command.jobId === 5)).toBe(false)
    await site.close()
  })
})

type Site = {
  readonly admin: Client
  readonly planter: Client
  readonly role: string
  readonly store: Effect.Success<ReturnType<typeof postgresStore>>
  readonly another: () => Promise<Client>
  /** What the session has told since. */
  readonly commands: () => Command[]
  readonly close: () => Promise<void>
}

async function openSite(): Promise<Site> {
  const database: TestDatabase = await createDatabase({ schema: 'installed', tcp: true })
  const { host, port, name } = database
  const admin = await database.client()
  const role = `planter_${name}`
  await admin.query(`GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE ROLE ${role} LOGIN PASSWORD 'plant'`)
  const planter = new Client({ host, port, database: name, user: role, password: 'plant' })
  await planter.connect()
  const scope = Effect.runSync(Scope.make())
  const store = await run(
    Scope.provide(postgresStore({ conninfo: parseConninfo(database.conninfo), host: 'alpha' }), scope),
  )
  return {
    ...{ admin, planter, role, store, another: database.client },
    commands: () => {
      const heard: Command[] = []
      Effect.runFork(Stream.runForEach(store.commands, (command) => Effect.sync(() => heard.push(command))))
      return heard
    },
    close: async () => {
      await run(Scope.close(scope, Exit.void))
      await planter.end()
      const again = await database.client()
      await again.query(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`)
      await database.drop()
    },
  }
}

async function rows(client: Client, sql: string): Promise<readonly unknown[]> {
  return (await client.query(sql)).rows
}

async function run<A, E>(effect: Effect.Effect<A, E>): Promise<A> {
  return Effect.runPromise(effect)
}
