import { dayOf, timeOf } from './words.ts'

type Values = Readonly<Record<string, unknown>>

/** Names and values, those within indented; what is other than before is marked. */
export function Values({ values, before }: { values: Values; before?: Values | undefined }) {
  const entries = Object.entries(values)
  if (entries.length === 0) return null
  return (
    <dl class="values">
      {entries.map(([name, value]) => {
        const isChanged = before !== undefined && JSON.stringify(before[name]) !== JSON.stringify(value)
        return (
          <div key={name} class={isChanged ? 'changed' : ''}>
            <dt>{name}</dt>
            <dd>
              <Value name={name} value={value} />
            </dd>
          </div>
        )
      })}
    </dl>
  )
}

const moments: ReadonlySet<string> = new Set(['dueAt', 'start', 'end'])

function Value({ name, value }: { name: string; value: unknown }) {
  if (moments.has(name) && typeof value === 'number') return `${dayOf(value)} ${timeOf(value)}`
  if (Array.isArray(value)) {
    if (value.every((item) => typeof item !== 'object')) return value.length === 0 ? 'none' : value.join(', ')
    return <Values values={Object.fromEntries(value.entries())} />
  }
  if (typeof value === 'object' && value !== null) return <Values values={value as Values} />
  return String(value)
}
