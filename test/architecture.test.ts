import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { agentCommand } from '../src/config.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

type Reach = { readonly units: readonly string[]; readonly libraries: readonly string[] }

/**
 * What each folder under src/, and each file beside them, may import; from the inside out. `node:` modules are open to
 * all but those of `withoutNode`.
 */
const reach: Readonly<Record<string, Reach>> = {
  'version.ts': { units: [], libraries: [] },
  'clock.ts': { units: [], libraries: ['xstate'] },
  domain: { units: [], libraries: [] },
  shadow: { units: ['domain'], libraries: [] },
  reasons: { units: ['domain'], libraries: [] },
  postgres: { units: [], libraries: ['effect', 'pg'] },
  schema: { units: [], libraries: ['pg'] },
  embedded: { units: [], libraries: ['execa'] },
  machines: { units: ['domain'], libraries: ['xstate'] },
  store: { units: ['domain', 'postgres'], libraries: ['effect'] },
  executors: { units: ['domain', 'postgres'], libraries: ['effect', 'execa', 'pg'] },
  trace: { units: ['domain', 'machines'], libraries: ['xstate'] },
  'log.ts': { units: ['domain', 'machines'], libraries: ['xstate'] },
  inspect: { units: ['domain', 'log.ts', 'machines', 'trace'], libraries: ['ws'] },
  'config.ts': { units: ['domain', 'log.ts', 'postgres', 'version.ts'], libraries: ['commander'] },
  'wiring.ts': { units: ['clock.ts', 'domain', 'executors', 'machines', 'store'], libraries: ['effect', 'xstate'] },
  simulation: {
    units: ['clock.ts', 'domain', 'executors', 'inspect', 'machines', 'store', 'trace', 'wiring.ts'],
    libraries: ['effect'],
  },
  'agent.ts': {
    units: [
      'clock.ts',
      'config.ts',
      'executors',
      'inspect',
      'log.ts',
      'machines',
      'store',
      'trace',
      'version.ts',
      'wiring.ts',
    ],
    libraries: ['effect'],
  },
  'pgagent.ts': { units: ['agent.ts', 'config.ts'], libraries: [] },
  travel: { units: ['domain', 'machines', 'simulation', 'trace'], libraries: ['xstate'] },
  doctor: { units: ['domain', 'postgres', 'schema', 'store'], libraries: ['effect', 'pg'] },
  cli: {
    units: [
      'agent.ts',
      'config.ts',
      'doctor',
      'domain',
      'embedded',
      'inspect',
      'postgres',
      'reasons',
      'schema',
      'shadow',
      'simulation',
      'store',
      'trace',
      'travel',
    ],
    libraries: ['cli-table3', 'commander', 'effect', 'pg'],
  },
  'cli.ts': { units: ['agent.ts', 'cli', 'config.ts', 'version.ts'], libraries: ['commander'] },
}

/** What is true of jobs, and what happens when, must run in any world, a simulated one included. */
const withoutNode = ['domain', 'machines', 'reasons', 'shadow']
const worldly =
  /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bset(Timeout|Interval|Immediate)\(|\bprocess\.|\bconsole\./

const linesMax = 300
/** Why a file may have more lines than that. */
const longer: Readonly<Record<string, string>> = {
  'src/postgres/session.ts': "libpq's search through hosts, addresses and TLS modes",
  'src/machines/agent.machine.ts': 'a chart is read in one piece',
  'src/schema/functions.sql': 'the rules of schedules once more, in SQL',
  'src/simulation/rehearsal.ts': 'the model of agents and their runs, beside the machines that it stands for',
  'src/simulation/invariants.ts': 'every invariant of a world, each a sentence and a function',
  'src/simulation/world.ts': 'whatever may happen in a story, a method each',
}

describe('imports point inwards', () => {
  const files = filesUnder('src', '.ts').map((path) => ({ path, unit: unitOf(path), imports: importsOf(path) }))

  test('every folder and file under src/ has its place', () => {
    expect(readdirSync(join(root, 'src')).filter((unit) => reach[unit] === undefined)).toEqual([])
  })

  test.each(Object.entries(reach))('%s', (unit, { units, libraries }) => {
    const imported = files
      .filter((file) => file.unit === unit)
      .flatMap(({ path, imports }) => imports.map((what) => ({ path, what })))
    const allowed = new Set([unit, ...units, ...libraries, ...(withoutNode.includes(unit) ? [] : ['node'])])
    expect(imported.filter(({ what }) => !allowed.has(what))).toEqual([])
  })

  test('and the table of them too: each unit names only those before it', () => {
    const order = Object.keys(reach)
    for (const [index, { units }] of Object.values(reach).entries()) {
      expect(units.filter((unit) => !order.slice(0, index).includes(unit))).toEqual([])
    }
  })

  test('machines, store and executors know nothing of each other', () => {
    const middle = ['machines', 'store', 'executors']
    for (const unit of middle) expect(reach[unit]?.units.filter((other) => middle.includes(other))).toEqual([])
  })

  test('one file knows both Effect and XState', () => {
    const both = files.filter(({ imports }) => imports.includes('effect') && imports.includes('xstate'))
    expect(both.map(({ path }) => path)).toEqual(['src/wiring.ts'])
  })

  test('of Effect no more is loaded than is used: its index takes longer than all the rest of an agent', () => {
    const paths = filesUnder('src', '.ts').filter((path) => / from 'effect'/.test(read(path)))
    expect(paths).toEqual([])
  })

  test('the checker of the chaos suite knows nothing of what it judges', () => {
    const imported = filesUnder('test/chaos/checker', '.ts').flatMap((path) =>
      [...read(path).matchAll(/(?:[ }]from |\bimport\(|^import )'([^']+)'/gm)].map(([, from = '']) => from),
    )
    expect(imported.length).toBeGreaterThan(5)
    expect(imported.filter((from) => !/^\.\/[\w-]+\.ts$/.test(from))).toEqual([])
  })

  test.each(withoutNode)('%s looks at no clock, and touches nothing outside', (unit) => {
    const touching = files.filter((file) => file.unit === unit && worldly.test(withoutComments(read(file.path))))
    expect(touching.map(({ path }) => path)).toEqual([])
  })
})

test('a file is short, or its length has a reason', () => {
  const long = [...filesUnder('src', '.ts'), ...filesUnder('src', '.sql')].filter(
    (path) => read(path).split('\n').length - 1 > linesMax,
  )
  expect(long.filter((path) => longer[path] === undefined)).toEqual([])
  expect(Object.keys(longer).filter((path) => !existsSync(join(root, path)))).toEqual([])
})

test('no name of a file or an export has a word that is not used', () => {
  const [, list = ''] = /^Not used: (.*?)\.$/ms.exec(read('ARCHITECTURE.md')) ?? []
  const unused = list.split(/,\s*/)
  expect(unused.length).toBeGreaterThan(10)
  const paths = ['src', 'test', 'scripts', 'bench'].flatMap((folder) => filesUnder(folder, '.ts'))
  const names = paths.flatMap((path) => [
    path.replace(/\.ts$/, ''),
    ...[...read(path).matchAll(/^export (?:async )?(?:const|function\*?|class|type) (\w+)/gm)].map(
      ([, name]) => `${path} ${name}`,
    ),
  ])
  expect(names.filter((name) => wordsIn(name).some((word) => unused.includes(word.replace(/s$/, ''))))).toEqual([])
})

describe('the documents are true', () => {
  test('the main path is seven stops, and its files have what they are said to have', () => {
    const [, section = ''] = /^## The main path$(.*?)^## /ms.exec(read('ARCHITECTURE.md')) ?? []
    const stops = section.split(/^\d\. /m).slice(1)
    expect(stops).toHaveLength(7)
    for (const stop of stops) {
      const [path = '', ...words] = [...stop.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word)
      const text = path.endsWith('/') ? filesUnder(path, '.ts').map(read).join('\n') : read(path)
      expect(words.filter((word) => !new RegExp(`\\b${word}\\b`).test(text))).toEqual([])
    }
  })

  test.each(filesUnder('.', '.md'))('%s links to what is there', (path) => {
    const targets = [...read(path).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map(([, target = '']) => target)
    const missing = targets.filter((to) => !/^https?:/.test(to) && !existsSync(join(root, dirname(path), to)))
    expect(missing).toEqual([])
  })

  test('each difference from pgAgent names tests that are there', () => {
    const rows = read('docs/differences.md')
      .split('\n')
      .filter((line) => line.startsWith('| ') && !/^\| (pgAgent|---)/.test(line))
    expect(rows.length).toBeGreaterThan(30)
    for (const row of rows) {
      const cells = row.split(/(?<!\\)\|/).slice(1, -1)
      expect([cells.length, row]).toEqual([4, row])
      for (const shown of (cells[3] ?? '').trim().split(/; (?=`test\/)/)) {
        const [, path = '', titles = ''] = /^`(test\/[\w./-]+)`: (".+")$/.exec(shown) ?? []
        expect([path, row]).not.toEqual(['', row])
        const text = read(path)
        for (const [, title = ''] of titles.matchAll(/"([^"]+)"/g))
          expect([title, text.includes(title)]).toEqual([title, true])
      }
    }
  })

  test('each test that the threat model names is there', () => {
    const paths = [...read('docs/security.md').matchAll(/`(test\/[\w./-]+)`/g)].map(([, path = '']) => path)
    expect(paths.length).toBeGreaterThan(15)
    expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([])
  })

  test('the README tells every option of the agent, with its environment variable', () => {
    const readme = read('README.md')
    for (const { short, long, envVar } of agentCommand('agent', async () => 0).options) {
      for (const word of [short, long, envVar]) expect(readme).toContain(`\`${word ?? long}`)
    }
  })

  test('the README has one test command, where CI looks for it', () => {
    expect(
      [...read('README.md').matchAll(/^## Test$[\s\S]*?^```\w*\n([\s\S]*?)^```/gm)].map(([, command]) => command),
    ).toEqual(['npm test\n'])
  })
})

function unitOf(path: string): string {
  return relative('src', path).split('/')[0] ?? ''
}

/** The units, libraries and, as `node`, Node's own modules that a file imports. */
function importsOf(path: string): readonly string[] {
  return [...read(path).matchAll(/(?:[ }]from |\bimport\(|^import )'([^']+)'/gm)].map(([, from = '']) => {
    if (from.startsWith('.')) return unitOf(normalize(join(dirname(path), from)))
    if (from.startsWith('node:')) return 'node'
    return from
      .split('/')
      .slice(0, from.startsWith('@') ? 2 : 1)
      .join('/')
  })
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
}

/** `ofThis-kind.of name` as its words, in small letters. */
function wordsIn(name: string): readonly string[] {
  return name
    .replace(/([a-z\d])([A-Z])/g, '$1 $2')
    .split(/[^A-Za-z]+/)
    .map((word) => word.toLowerCase())
}

/** Paths from the root of the project; nothing of what others have made. */
function filesUnder(folder: string, extension: string): readonly string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter(({ name }) => !/^(\.|node_modules$|dist$|data$)/.test(name))
    .flatMap((entry) => {
      const path = normalize(join(folder, entry.name))
      if (entry.isDirectory()) return filesUnder(path, extension)
      return entry.name.endsWith(extension) ? [path] : []
    })
}

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}
