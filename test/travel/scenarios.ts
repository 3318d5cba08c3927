import type { Scenario } from '../../src/simulation/scenario.ts'

/** A night in which little happens, and something goes wrong. */
export const smallNight: Scenario = {
  start: '2026-03-01T02:00:00',
  until: '2026-03-01T02:20:00',
  seed: 1,
  jobs: [
    {
      name: 'nightly backup',
      due: '02:01:00',
      steps: [
        { name: 'dump', takes: '2 minutes', failures: 1, attemptsMax: 2, backoff: { firstMs: 30_000, lastMs: 30_000 } },
      ],
    },
    { name: 'report', schedules: [{ minutes: [0, 10] }], steps: [{ name: 'send', takes: '1 minute', says: 'sent 3' }] },
  ],
  agents: [{ host: 'alpha' }, { host: 'beta', at: '02:05:00' }],
  happenings: [
    { at: '02:10:30', type: 'crash', agent: 'alpha' },
    { at: '02:15:00', type: 'restart', agent: 'alpha' },
  ],
}
