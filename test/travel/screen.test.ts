import { expect, test } from 'vitest'
import { type Key, pressed, type Traveller, travellerIn } from '../../src/cli/travel-keys.ts'
import { fitted, inColumns, wrapped } from '../../src/cli/travel-lines.ts'
import { screen } from '../../src/cli/travel-screen.ts'
import { wholeView } from '../../src/cli/travel-view.ts'
import { History } from '../../src/travel/history.ts'
import { smallNight } from './scenarios.ts'

const night = () => History.ofScenario('night', smallNight)
const size = { columns: 80, rows: 24 }

const named: Readonly<Record<string, Key>> = Object.fromEntries(
  ['right', 'left', 'home', 'end', 'tab', 'return', 'escape', 'backspace', 'up', 'down', 'pagedown'].map((name) => [
    name,
    { name, sequence: '\u001b' },
  ]),
)

/** After the keys, each a letter or in angle brackets: `<right>n`. */
function after(keys: string, start: Traveller = travellerIn(night())): Traveller {
  let traveller = start
  for (const [, name, letter] of keys.matchAll(/<(\w+)>|(.)/g)) {
    const key = name === undefined ? { name: letter, sequence: letter } : named[name]
    const next = pressed(traveller, key as Key)
    if (next === undefined) throw new Error(`${name ?? letter} ends the journey`)
    traveller = next
  }
  return traveller
}

function shown(traveller: Traveller, at = size): string {
  return screen(traveller, at)
    .map(({ text }) => text.trimEnd())
    .join('\n')
}

test('a view shows the moment, the timeline, why, the machines and the tables', () => {
  const history = night()
  const failure = history.nextFailure(0) ?? 0

  expect(
    fitted(wholeView(history, failure, 100), 100)
      .map(({ text }) => text)
      .join('\n'),
  ).toMatchInlineSnapshot(`
    "night · 2026-03-01 02:03:00.000 UTC · transition 19 of 179
    02:00:00 ├────────────●─────────────────────────────!─────────────────!───────────────────┤ 02:20:00

    timeline
      02:01:00.000  alpha/run-1         start: stepping
      02:01:30.000  alpha               after nextLook: serving.waiting → serving.claiming
      02:01:30.000  alpha               claimDue done: serving.claiming → serving.waiting
      02:02:00.000  alpha               after nextLook: serving.waiting → serving.claiming
      02:02:00.000  alpha               claimDue done: serving.claiming → serving.waiting
      02:02:30.000  alpha               after nextLook: serving.waiting → serving.claiming
      02:02:30.000  alpha               claimDue done: serving.claiming → serving.waiting
    ▸ 02:03:00.000  alpha/run-1/step-1  × the attempt failed: executing.running → ending
      02:03:00.000  alpha/run-1/step-1  endAttempt done: ending → backingOff
      02:03:00.000  alpha               after nextLook: serving.waiting → serving.claiming
      02:03:00.000  alpha               claimDue done: serving.claiming → serving.waiting
      02:03:30.000  alpha/run-1/step-1  after backoff: backingOff → beginning
      02:03:30.000  alpha/run-1/step-1  beginAttempt done: beginning → executing.running
      02:03:30.000  alpha               after nextLook: serving.waiting → serving.claiming
      02:03:30.000  alpha               claimDue done: serving.claiming → serving.waiting

    why
      alpha/run-1/step-1 goes from executing.running to ending
      on execute done {"output":{"outcome":"failed","code":1}}
      × the attempt failed
      in executing.running, on execute done:
        [isDisowned] → ended  did not hold
        [endsRun]    → ended  did not hold
      ✓              → ending  taken
      context: result none → {"outcome":"failed","code":1}

    machines
      alpha                         serving.waiting  session 101
        host=alpha  runsMax=50  pollMs=5000  reconnectMsMax=30000  drainMs=60000  running=1
        triesFailed=0  stopsAsked=0  nudged=false  nextLookMs=30000  announced=true  hasServed=true
        run-1 nightly backup        stepping
          stepIndex=0
    ▸     step-1 dump               ending
            isLast=true  attemptId=1  number=1  isLogged=false  result={"outcome":"failed","code":1}

    tables
      job  name            enabled  host  next run  last run  claimed by
      1    nightly backup  yes            02:01:00  02:01:00  101
      2    report          yes            02:10:00
      run  job             status   started   took
      1    nightly backup  running  02:01:00
      attempt  run  step  status   result  started   took  output
      1        1    dump  running          02:01:00
      agent  host   since     session
      101    alpha  02:00:00  on"
  `)
})

test('keys lead to the next failure, and to the tables as they were', () => {
  expect(shown(after('n'))).toMatchInlineSnapshot(`
    "night · 2026-03-01 02:03:00.000 UTC · transition 19 of 179
    02:00:00 ├─────────●─────────────────────!─────────────!──────────────┤ 02:20:00
      02:02:00.000  alpha               after nextLook: serving.waiting → serving.c…
      02:02:00.000  alpha               claimDue done: serving.claiming → serving.w…
      02:02:30.000  alpha               after nextLook: serving.waiting → serving.c…
      02:02:30.000  alpha               claimDue done: serving.claiming → serving.w…
    ▸ 02:03:00.000  alpha/run-1/step-1  × the attempt failed: executing.running → e…
      02:03:00.000  alpha/run-1/step-1  endAttempt done: ending → backingOff
      02:03:00.000  alpha               after nextLook: serving.waiting → serving.c…
      02:03:00.000  alpha               claimDue done: serving.claiming → serving.w…
    ──[1 why]─ 2 machines ─ 3 tables ─ 4 story ──
      alpha/run-1/step-1 goes from executing.running to ending
      on execute done {"output":{"outcome":"failed","code":1}}
      × the attempt failed
      in executing.running, on execute done:
        [isDisowned] → ended  did not hold
        [endsRun]    → ended  did not hold
      ✓              → ending  taken
      context: result none → {"outcome":"failed","code":1}




    ← → step, n p failure, g moment, r run, Tab pane, f fork, ? keys, q quit"
  `)
  expect(shown(after('n3'))).toMatchInlineSnapshot(`
    "night · 2026-03-01 02:03:00.000 UTC · transition 19 of 179
    02:00:00 ├─────────●─────────────────────!─────────────!──────────────┤ 02:20:00
      02:02:00.000  alpha               after nextLook: serving.waiting → serving.c…
      02:02:00.000  alpha               claimDue done: serving.claiming → serving.w…
      02:02:30.000  alpha               after nextLook: serving.waiting → serving.c…
      02:02:30.000  alpha               claimDue done: serving.claiming → serving.w…
    ▸ 02:03:00.000  alpha/run-1/step-1  × the attempt failed: executing.running → e…
      02:03:00.000  alpha/run-1/step-1  endAttempt done: ending → backingOff
      02:03:00.000  alpha               after nextLook: serving.waiting → serving.c…
      02:03:00.000  alpha               claimDue done: serving.claiming → serving.w…
    ── 1 why ─ 2 machines ─[3 tables]─ 4 story ──
      job  name            enabled  host  next run  last run  claimed by
      1    nightly backup  yes            02:01:00  02:01:00  101
      2    report          yes            02:10:00
      run  job             status   started   took
      1    nightly backup  running  02:01:00
      attempt  run  step  status   result  started   took  output
      1        1    dump  running          02:01:00
      agent  host   since     session
      101    alpha  02:00:00  on



    ← → step, n p failure, g moment, r run, Tab pane, f fork, ? keys, q quit"
  `)
})

test('the story stands where the traveller is', () => {
  expect(shown(after('g02:10<return>4'))).toMatchInlineSnapshot(`
    "night · 2026-03-01 02:10:00.000 UTC · transition 93 of 179
    02:00:00 ├─────────×────────────────────●!─────────────!──────────────┤ 02:20:00
      02:10:00.000  alpha               claimDue done: serving.claiming → serving.w…
      02:10:00.000  alpha/run-2/step-1  start: executing.running
      02:10:00.000  alpha/run-2         start: stepping
      02:10:00.000  beta                after nextLook: serving.waiting → serving.c…
    ▸ 02:10:00.000  beta                claimDue done: serving.claiming → serving.w…
      02:10:05.000  beta                after nextLook: serving.waiting → serving.c…
      02:10:05.000  beta                claimDue done: serving.claiming → serving.w…
      02:10:10.000  beta                after nextLook: serving.waiting → serving.c…
    ── 1 why ─ 2 machines ─ 3 tables ─[4 story]──
      02:01:00.000   dump #1 begins
      02:03:00.000   dump #1 failed
      02:03:30.000   dump #2 begins
      02:05:00.000 beta starts
      02:05:30.000   dump #2 succeeded
      02:05:30.000 nightly backup succeeded
      02:10:00.000 alpha claims report: run 2
      02:10:00.000   send #1 begins
      02:10:30.000 alpha crashes
      02:10:36.500 beta rescues report: run 2 aborted
      02:15:00.000 alpha is restarted
      02:15:00.000 alpha starts
    ← → step, n p failure, g moment, r run, Tab pane, f fork, ? keys, q quit"
  `)
})

test.each([
  ['<right><right><left>', 1],
  ['<left>', 0],
  [']', 20],
  ['][', 0],
  ['<end>', night().last],
  ['<end><right>', night().last],
  ['<end><home>', 0],
  ['g12<return>', 11],
  ['g13<backspace>2<return>', 11],
  ['g7<escape>', 0],
  ['g02:00:30<return>', night().positionAt(Date.parse('2026-03-01T02:00:30Z'))],
  ['r2<return>', night().positionOfRun(2)],
  ['np', night().nextFailure(0)],
  ['<end>p', night().timeline.failures.at(-1)],
])('%s leads to position %i', (keys, position) => {
  expect(after(keys).position).toBe(position)
})

test.each([
  ['p', 'no failure before this moment'],
  ['<end>n', 'no failure after this moment'],
  ['r9<return>', 'there is no run 9 in this history'],
  ['g0<return>', `there are transitions 1 to ${night().last + 1}`],
  ['gsoon<return>', '"soon" is no moment: write HH:MM:SS, or YYYY-MM-DDTHH:MM:SS'],
  ['g03:00<return>', '03:00 is outside of this history, which goes from 02:00:00.000 to 02:20:00.000 UTC'],
  ['fexplode<return>', '"explode" is nothing that could happen: "escapement travel --help" lists what could'],
])('%s says: %s', (keys, message) => {
  const traveller = after(keys)
  expect(traveller.message).toBe(message)
  expect(shown(traveller).replaceAll(/\s+/g, ' ')).toContain(message)
})

test('a fork is chosen by a few letters, compared, entered, and left again', () => {
  const choosing = after('g02:02<return>fcra')
  expect(shown(choosing).split('\n').slice(-13)).toMatchInlineSnapshot(`
    [
      "▸ crash alpha",
      "",
      "",
      "",
      "",
      "",
      "",
      "",
      "",
      "",
      "",
      "",
      "type to choose, ↑ ↓, Enter to fork, Escape",
    ]
  `)

  const comparing = after('<return>', choosing)
  expect(shown(comparing)).toMatchInlineSnapshot(`
    "two futures from 2026-03-01 02:02:00.000 UTC on: < without it, > with it, ≈
      another run number
                  night                             night, crash alpha
    02:02:00.000                                  > alpha crashes
    02:03:00.000    dump #1 failed                <
    02:03:30.000    dump #2 begins                <
    02:05:00.000  beta starts                     │ beta starts
    02:05:01.500                                  > beta rescues nightly backup:
                                                  >   run 1 aborted
    02:05:30.000    dump #2 succeeded             <
    02:05:30.000  nightly backup succeeded        <
    02:10:00.000  alpha claims report: run 2      <
    02:10:00.000                                  > beta claims report: run 2
    02:10:00.000    send #1 begins                │   send #1 begins
    02:10:30.000  alpha crashes                   <
    02:10:36.500  beta rescues report: run 2      <
                    aborted                       <
    02:11:00.000                                  >   send #1 succeeded
    02:11:00.000                                  > report succeeded
    02:15:00.000  alpha is restarted              │ alpha is restarted
    02:15:00.000  alpha starts                    │ alpha starts

                  runs: 2                         │ runs: 2
    ↑ ↓ scroll, Enter go into the other future, Escape back, q quit"
  `)

  const other = after('<return>', comparing)
  expect(other.history.title).toBe('night, crash alpha')
  expect(other.history.record(other.position).at).toBe(Date.parse('2026-03-01T02:02:00Z'))
  expect(other.history.story.map(({ line }) => line)).toContain('beta rescues nightly backup: run 1 aborted')

  const back = after('<escape>', other)
  expect([back.history.title, back.position]).toEqual(['night', choosing.position])
})

test('a duration that is not offered is typed', () => {
  const traveller = after('g02:02<return>fcut off alpha for 2m<return>')
  expect(traveller.mode).toMatchObject({ futures: { happenings: [{ type: 'cutOff', duration: 120_000 }] } })
})

test('what is recorded cannot be forked, and says so', () => {
  const recorded = travellerIn(History.ofRecords('recorded', night().timeline.records))
  expect(after('f', recorded).message).toBe('what is recorded has one future only: fork a simulated world')
})

test('the same keys give the same bytes', () => {
  const keys = 'nn3<left>fcra<return><pagedown><return>n2]'
  const seen = () =>
    [...keys.matchAll(/<\w+>|./g)].map((_, index, all) => shown(after(all.slice(0, index + 1).join(''))))
  expect(seen()).toEqual(seen())
})

test('q, Ctrl-C and Ctrl-D end the journey, also while something is asked', () => {
  expect(pressed(after(''), { name: 'q', sequence: 'q' })).toBeUndefined()
  expect(pressed(after('fcra<return>'), { name: 'q', sequence: 'q' })).toBeUndefined()
  for (const keys of ['', 'g02', 'fcra', '?']) {
    expect(pressed(after(keys), { name: 'c', ctrl: true, sequence: '\u0003' })).toBeUndefined()
  }
  expect(after('gq').mode).toMatchObject({ text: 'q' })
})

test.each([
  { columns: 80, rows: 24 },
  { columns: 80, rows: 5 },
  { columns: 20, rows: 3 },
  { columns: 1, rows: 1 },
  { columns: 200, rows: 60 },
])('nothing is wider or longer than a terminal of %j', ({ columns, rows }) => {
  for (const keys of ['', 'n', 'n2', 'n3', 'n4', '?', 'fcra', 'g02:02<return>fcrash alpha<return>', 'r9<return>']) {
    const lines = screen(after(keys), { columns, rows })
    expect([keys, lines.length]).toEqual([keys, rows])
    expect([keys, lines.filter(({ text }) => [...text].length > columns)]).toEqual([keys, []])
  }
})

test('names do nothing to a terminal, and wide characters count twice', () => {
  expect(fitted([{ text: 'red: \u001b[31m\nnext' }], 80)).toEqual([{ text: 'red: \u{fffd}[31m next' }])
  expect(inColumns('夜間バックアップ', 10)).toBe('夜間バッ… ')
  expect(wrapped('one two three', 8, 2)).toEqual(['one two', '  three'])
  expect(wrapped('abcdefghij', 4, 1)).toEqual(['abcd', ' efg', ' hij'])
})
