import { Command, InvalidArgumentError, Option } from 'commander'
import { inspectPort } from '../config.ts'
import { happeningForms } from '../travel/happening-forms.ts'
import type { TravelFlags } from './travel-print.ts'

/** `escapement travel`: goes back and forth in what happened. */
export function travelCommand(): Command {
  return new Command('travel')
    .description('Goes back and forth in a simulated world, or in what an agent has recorded.')
    .argument('[file]', 'a trace written by --record, a folder of them, or a scenario as JSON')
    .option('--seed <number>', 'the random world of a seed, instead of a file', seedIn)
    .option('--at <moment>', 'print what was then: a time such as 02:15:00, in UTC, or the number of a transition')
    .option('--run <id>', 'print what was when the run started')
    .option('--next-failure', 'print the next failure after that, or the first')
    .option('--previous-failure', 'print the last failure before that, or the last')
    .option('--fork <happening>', 'print what follows, with and without it; may be repeated', collected)
    .option('--json', 'print JSON, for programs')
    .addOption(
      new Option('--inspect [port]', 'show it on a page at 127.0.0.1, port 10432 or the next free one').argParser(
        inspectPort('file'),
      ),
    )
    .addHelpText('after', help)
    .action(async (file: string | undefined, flags: TravelFlags) => {
      // The simulation takes a while to load, which no other command should wait for.
      const { travel } = await import('./travel-print.ts')
      await travel(file, flags)
    })
}

function seedIn(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}

function collected(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text]
}

const help = `
On a terminal, keys lead through it; "?" lists them. With --at, --run, a failure, --fork or --json, and where there is no
terminal, one view is printed. With --inspect, a page and Stately Inspector show it, from --at, --run or a failure on,
or as it goes on after a --fork. The same seed gives the same bytes each time. Times are UTC.

What may happen in a fork, right after the moment that is looked at, or later with "at 02:15:00" or "after 30s":
${happeningForms.map(({ words }) => `  ${words}`).join('\n')}
AGENT and JOB are names, STEP is JOB/STEP, a DURATION is 30s or 5m, a SHIFT may be negative;
VERB is claimDue, beginAttempt, endAttempt, finishRun or register.`
