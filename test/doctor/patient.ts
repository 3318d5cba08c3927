import type { Client } from 'pg'
import type { TestDatabase } from '../support/postgres.ts'

/** A job that has something the matter, and what is to be found about it: kinds, and the step or schedule meant. */
export type Ailment = {
  readonly job: string
  readonly finds: readonly string[]
  readonly comment?: string
  readonly host?: string
  readonly disabled?: true
  readonly steps?: readonly AilingStep[]
  readonly schedules?: readonly AilingSchedule[]
  /** Done to the job after all else; `$1` is its id. */
  readonly sql?: string
}

type AilingStep = {
  readonly name?: string
  readonly kind?: 's' | 'b'
  readonly code?: string
  readonly comment?: string
  readonly conninfo?: string
  /** The database of the test when undefined. */
  readonly database?: string
  readonly disabled?: true
}

type AilingSchedule = {
  readonly name?: string
  readonly comment?: string
  readonly start?: string
  readonly end?: string
  /** Times as selected numbers; `lastDay` is month day 32. */
  readonly minutes?: readonly number[]
  readonly hours?: readonly number[]
  readonly monthDays?: readonly number[]
  readonly months?: readonly number[]
  readonly weekdays?: readonly number[]
  /** Pairs of a date and a time, either of which may be null. */
  readonly exceptions?: readonly (readonly [string | null, string | null])[]
}

/** Daily at noon. */
const daily: AilingSchedule = { minutes: [0], hours: [12] }

/** Makes the job. Triggers are off meanwhile, since pgAgent's raise errors on some of these schedules. */
export async function afflict(client: Client, database: TestDatabase, ailment: Ailment): Promise<number> {
  const { comment = '', host = '', steps = [{}], schedules = [daily] } = ailment
  const { rows } = await client.query<{ id: number }>(
    'INSERT INTO pgagent.pga_job (jobjclid, jobname, jobdesc, jobhostagent) VALUES (1, $1, $2, $3) RETURNING jobid AS id',
    [ailment.job, comment, host],
  )
  const id = rows[0]?.id ?? 0
  for (const step of steps) {
    const { kind = 's', conninfo = '' } = step
    const onDatabase = step.database ?? (kind === 's' && conninfo === '' ? database.name : '')
    await client.query(
      `INSERT INTO pgagent.pga_jobstep
        (jstjobid, jstname, jstkind, jstcode, jstdesc, jstconnstr, jstdbname, jstenabled)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
      [
        ...[id, step.name ?? 'step', kind, step.code ?? (kind === 's' ? 'SELECT 1' : 'true'), step.comment ?? ''],
        ...[conninfo, onDatabase, step.disabled !== true],
      ],
    )
  }
  await client.query("SET session_replication_role = 'replica'")
  for (const schedule of schedules) await addSchedule(client, id, schedule)
  await client.query("SET session_replication_role = 'origin'")
  return id
}

async function addSchedule(client: Client, jobId: number, schedule: AilingSchedule): Promise<void> {
  const { rows } = await client.query<{ id: number }>(
    `INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscdesc, jscstart, jscend,
      jscminutes, jschours, jscmonthdays, jscmonths, jscweekdays)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING jscid AS id`,
    [
      ...[jobId, schedule.name ?? 'schedule', schedule.comment ?? ''],
      ...[schedule.start ?? '2020-01-01 00:00Z', schedule.end ?? null],
      flags(60, 0, schedule.minutes),
      flags(24, 0, schedule.hours),
      flags(32, 1, schedule.monthDays),
      flags(12, 1, schedule.months),
      flags(7, 0, schedule.weekdays),
    ],
  )
  for (const [date, time] of schedule.exceptions ?? []) {
    await client.query('INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime) VALUES ($1, $2, $3)', [
      rows[0]?.id,
      date,
      time,
    ])
  }
}

function flags(length: number, first: number, selected: readonly number[] = []): readonly boolean[] {
  return Array.from({ length }, (_, index) => selected.includes(index + first))
}

/**
 * What may be the matter with jobs, a job for each. `unreachable` is a connection string that nobody answers.
 *
 * What they find is the same on pgAgent's schema and on our own, but for the severity.
 */
export function ailments({ unreachable, password }: { unreachable: string; password: string }): readonly Ailment[] {
  return [
    { job: 'healthy', finds: [] },
    { job: 'nowhere', finds: ['connectionFails step'], steps: [{ conninfo: unreachable }] },
    { job: 'no such database', finds: ['connectionFails step'], steps: [{ database: 'nowhere_at_all' }] },
    { job: 'unreadable', finds: ['connectionStringUnreadable step'], steps: [{ conninfo: 'hots=localhost' }] },
    {
      job: 'in clear',
      finds: ['passwordInClear step', 'connectionFails step'],
      steps: [{ conninfo: `${unreachable} password=${password}` }],
    },
    {
      job: 'in clear, unreadable',
      finds: ['passwordInClear step', 'connectionStringUnreadable step'],
      steps: [{ conninfo: `password=${password} hots=localhost` }],
    },
    {
      job: 'blank',
      finds: ['connectionStringBreaksPgAgent step', 'connectionFails step'],
      steps: [{ conninfo: `${unreachable} application_name='my app'` }],
    },
    {
      job: 'injects',
      finds: ['databaseNameInjects step', 'connectionFails step'],
      steps: [{ database: 'postgres application_name=x' }],
    },
    {
      job: 'two targets',
      finds: ['twoTargets step', 'connectionFails step'],
      steps: [{ conninfo: unreachable, database: 'x' }],
    },
    { job: 'empty sql', finds: ['emptySql step'], steps: [{ code: ' ' }] },
    { job: 'empty script', finds: ['emptyScript step'], steps: [{ kind: 'b', code: '\n' }] },
    {
      job: 'interpreter',
      finds: ['interpreterMissing step', 'interpreterMissing by env'],
      steps: [
        { kind: 'b', code: '#!/usr/local/bin/perl4.036\nprint 1' },
        { name: 'by env', kind: 'b', code: '#!/usr/bin/env python1.4\r\nprint 1' },
        { name: 'there', kind: 'b', code: '#!/bin/sh -e\ntrue' },
        { name: 'there by env', kind: 'b', code: '#!/usr/bin/env -S sh -e\ntrue' },
      ],
    },
    {
      job: 'request',
      finds: ['httpRequestWrong step'],
      steps: [{ kind: 'b', code: '#!http\nGET ftp://example.com' }],
    },
    {
      job: 'timeout',
      finds: [
        'settingNotUnderstood step',
        'settingMisspelt near',
        'settingNotUnderstood misplaced',
        'settingMisspelt colon',
        'settingMisspelt cut short',
      ],
      steps: [
        { comment: 'Loads.\n@timeout soon' },
        { name: 'near', comment: '@timeot 5m' },
        { name: 'misplaced', comment: '@expect 200' },
        { name: 'prose', comment: '@anne: is this still needed?' },
        { name: 'people', comment: '@tim says yes\n@cat as well\n@exp no' },
        { name: 'colon', comment: '@retry: 3' },
        { name: 'cut short', comment: '@timeou 5m' },
      ],
    },
    { job: 'zone', finds: ['settingNotUnderstood'], comment: '@timezone Europe/Bonn' },
    {
      job: 'zone of schedule',
      finds: ['settingNotUnderstood other', 'settingNotUnderstood schedule'],
      schedules: [
        { ...daily, comment: '@timezone Europe/Bonn' },
        { ...daily, name: 'other', comment: '@retry 3' },
      ],
    },
    {
      job: 'transaction',
      finds: ['transactionLeftOpen step'],
      steps: [
        { code: "BEGIN; INSERT INTO t VALUES (';COMMIT'); -- COMMIT" },
        { name: 'ended', code: 'BEGIN; SELECT 1; COMMIT' },
        { name: 'inside', code: 'DO $$ BEGIN PERFORM 1; END $$' },
      ],
    },
    {
      job: 'session',
      finds: [
        'sessionStateLeft a',
        'sessionStateNeeded b',
        'sessionStateNeeded c',
        'sessionStateLeft d',
        'sessionStateNeeded e',
      ],
      steps: [
        { name: 'a', code: 'CREATE TEMP TABLE staging AS SELECT 1 AS n' },
        { name: 'b', code: 'INSERT INTO target SELECT n FROM staging' },
        { name: 'c', code: 'EXECUTE plan(1)' },
        { name: 'd', code: 'SET ROLE reporting; SELECT 1' },
        { name: 'e', code: 'SELECT 1; COMMIT' },
        { name: 'clean', code: 'CREATE TEMP TABLE own (n int); SELECT * FROM own; DROP TABLE own' },
        { name: 'local', code: 'BEGIN; SET LOCAL ROLE reporting; SELECT 1; COMMIT' },
        { name: 'prepared', code: 'PREPARE own AS SELECT 1; EXECUTE own; DEALLOCATE own' },
      ],
    },
    {
      job: 'day 31',
      finds: ['scheduleRaises schedule', 'nextRunDiffers'],
      schedules: [{ ...daily, monthDays: [31] }],
      sql: elsewhen,
    },
    {
      job: '30 February',
      finds: ['scheduleRaises schedule', 'nextRunDiffers'],
      schedules: [{ ...daily, monthDays: [30], months: [2] }],
    },
    {
      job: 'start at infinity',
      finds: ['scheduleRaises schedule', 'nextRunDiffers'],
      schedules: [{ ...daily, start: 'infinity' }],
    },
    {
      job: 'all excepted',
      finds: ['scheduleNeverAnswers schedule', 'nextRunDiffers'],
      schedules: [{ ...daily, exceptions: [[null, '12:00']] }],
    },
    {
      job: 'slow',
      finds: ['scheduleSlow schedule', 'nextRunDiffers'],
      schedules: [{ minutes: range(0, 59), exceptions: range(1, 28).map((day) => [`2099-02-${two(day)}`, null]) }],
      sql: elsewhen,
    },
    {
      job: 'empty list',
      finds: ['scheduleListsBroken schedule'],
      sql: `UPDATE pgagent.pga_schedule SET jscmonths = '{}' WHERE jscjobid = $1`,
    },
    {
      job: 'high number',
      finds: ['exceptionNumberTooHigh schedule'],
      schedules: [{ ...daily, exceptions: [['2098-05-01', null]] }],
      sql: `UPDATE pgagent.pga_exception SET jexid = jexid + 40000
        WHERE jexscid IN (SELECT jscid FROM pgagent.pga_schedule WHERE jscjobid = $1)`,
    },
    {
      job: 'last day',
      finds: ['lastDayOverlooked schedule', 'nextRunDiffers'],
      schedules: [{ ...daily, monthDays: [15, 32] }],
      sql: elsewhen,
    },
    {
      job: 'second minute',
      finds: ['everySecondMinute schedule'],
      schedules: [{}],
      sql: "UPDATE pgagent.pga_job SET jobnextrun = now() + interval '2 min' WHERE jobid = $1",
    },
    {
      job: 'over',
      finds: ['scheduleNeverComes schedule', 'nextRunDiffers'],
      schedules: [{ ...daily, end: '2021-01-01' }],
    },
    {
      job: 'too short',
      finds: ['scheduleNeverComes schedule', 'nextRunDiffers'],
      schedules: [{ ...daily, start: '2099-01-01 13:00Z', end: '2099-01-01 14:00Z' }],
    },
    {
      job: 'undone',
      finds: ['exceptionCollides first'],
      schedules: [
        { ...daily, name: 'first', exceptions: [['2099-12-25', '12:00']] },
        { ...daily, name: 'second' },
      ],
    },
    {
      job: 'idle exceptions',
      finds: ['exceptionMatchesNothing schedule', 'exceptionTwice schedule'],
      schedules: [
        {
          ...daily,
          exceptions: [
            [null, null],
            ['2097-01-01', '12:00:30'],
            ['2097-01-02', '13:00'],
            ['2097-01-03', null],
            ['2097-01-03', null],
          ],
        },
      ],
    },
    {
      job: 'no next run',
      finds: ['nextRunMissing'],
      sql: "UPDATE pgagent.pga_job SET jobnextrun = 'infinity' WHERE jobid = $1",
    },
    {
      job: 'other next run',
      finds: ['nextRunDiffers'],
      sql: elsewhen,
    },
    {
      job: 'overdue',
      finds: ['overdue'],
      sql: "UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 day' WHERE jobid = $1",
    },
    { job: 'elsewhere', finds: ['hostWithoutAgent'], host: 'db7.example.com' },
    { job: 'no schedule', finds: ['noSchedule'], schedules: [] },
    { job: 'no steps', finds: ['noSteps'], steps: [] },
    { job: 'disabled', finds: ['emptyScript step'], disabled: true, steps: [{ kind: 'b', code: '' }] },
  ]
}

/** A next run that no schedule here gives, whatever the day. */
const elsewhen = "UPDATE pgagent.pga_job SET jobnextrun = '2099-01-01 13:17:30Z' WHERE jobid = $1"

function range(first: number, last: number): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

function two(number: number): string {
  return String(number).padStart(2, '0')
}
