import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase, realServer, type TestDatabase } from '../support/postgres.ts'
import { escapement } from './escapement.ts'

describe('escapement install', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await createDatabase({ tcp: true })
  })
  afterAll(() => database?.drop())

  const hasSchema = async () => {
    const client = await database.client()
    const { rowCount } = await client.query(`SELECT FROM pg_namespace WHERE nspname = 'pgagent'`)
    await client.end()
    return rowCount === 1
  }

  test('prints its SQL and does nothing; the printed SQL does what it says', async () => {
    const { stdout, stderr, exitCode } = await escapement(['install', '--print', database.conninfo])

    expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 })
    expect(stdout).toMatch(/^-- There is no pgAgent schema in this database\.\n(-- .*\n)+BEGIN;[\s\S]*COMMIT;$/)
    expect(await hasSchema()).toBe(false)

    const other = await createDatabase({ tcp: true })
    await (await other.client()).query(stdout)
    expect((await escapement(['jobs', '--json', other.conninfo])).stdout).toBe('[]')
    await other.drop()
  })

  test('says what it does, does it, and the second time has nothing to do', async () => {
    const first = await escapement(['install', database.conninfo])
    expect(first.stdout).toMatch(
      /^There is no pgAgent schema in this database\.\nCreates schema pgagent:[\s\S]*\nDone\.$/,
    )
    expect(first.exitCode).toBe(0)
    expect(await hasSchema()).toBe(true)

    const second = await escapement(['install', '--json', '--db', database.conninfo])
    expect(JSON.parse(second.stdout)).toEqual({
      summary: ['Schema pgagent was created by Escapement, and up to date. Nothing to do.'],
      sql: '',
      changed: false,
    })
  })

  test('takes it back only when that is said twice', async () => {
    const asked = await escapement(['install', '--uninstall', database.conninfo])
    expect(asked.stdout).toContain('Nothing is done: with --remove all of that goes.')
    expect(await hasSchema()).toBe(true)

    const removed = await escapement(['install', '--uninstall', '--remove', database.conninfo])
    expect(removed.stdout).toMatch(/^Removes schema pgagent with everything in it: 0 jobs\.[\s\S]*\nDone\.$/)
    expect(await hasSchema()).toBe(false)
  })

  test("repairs pgAgent's own schema when asked to, and takes that back", async ({ skip }) => {
    const server = await realServer()
    if (server === undefined) return skip()
    const pgagent = await server.createDatabase({ extension: true })

    const looked = await escapement(['install', pgagent.conninfo])
    expect(looked.stdout).toContain('Escapement serves it as it is; nothing is changed.')
    expect(looked.stdout).not.toContain('Done.')
    expect((await escapement(['install', '--repair', pgagent.conninfo])).stdout).toMatch(
      /Replaces the bodies of[\s\S]*\nDone\.$/,
    )
    expect((await escapement(['install', '--uninstall', pgagent.conninfo])).stdout).toMatch(
      /^Restores [\s\S]*\nDone\.$/,
    )
    await pgagent.drop()
  })

  test('tells a role what right it lacks', async () => {
    const admin = await database.client()
    const role = `guest_${database.name}`
    await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'open sesame'`)

    const { stdout, stderr, exitCode } = await escapement([
      'install',
      `${database.conninfo} user=${role} password='open sesame'`,
    ])

    expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 1 })
    expect(stderr).toBe(`error: role ${role} lacks a right that this needs: CREATE on database ${database.name}`)
    await admin.query(`DROP ROLE ${role}`)
  })
})
