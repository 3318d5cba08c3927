import { connection, goToNewest, happening, isAtNewest, position, record, world } from './player.ts'
import { dayOf, isInUtc, timeOf } from './words.ts'

const said = {
  connecting: 'connecting',
  live: 'live',
  lost: 'the agent is gone; this is what is known of it',
  past: 'a recorded trace',
}

export function Header() {
  const now = record.value
  const state = connection.value
  const broken = world.value?.broken?.split(' is broken', 1)[0]
  const [happened] = happening.value
  const isJustNow = (happened?.after ?? -1) >= position.value
  const isBack = state === 'live' && !isAtNewest.value
  return (
    <header class="header">
      <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
        <circle cx="16" cy="19" r="6.5" />
        <path d="M16 19V6M7 9.5C10 6.7 13 6 16 6s6 .7 9 3.5M7 9.5v4M25 9.5v4" />
      </svg>
      <h1>Escapement</h1>
      <p class={`connection ${isBack ? 'back' : state}`} role="status">
        {isBack ? 'looking back' : world.value === undefined ? said[state] : 'a simulated world'}
      </p>
      {broken !== undefined && (
        <button type="button" class="connection lost" title={world.value?.broken} onClick={goToNewest}>
          ends broken: {broken}
        </button>
      )}
      {happened && (
        <p class={`happening ${isJustNow ? 'now' : ''}`}>
          {!isJustNow && <time>{timeOf(happened.at)} </time>}
          {happening.value.map(({ line }) => line).join(' · ')}
        </p>
      )}
      {now && (
        <p class="moment">
          <span>{dayOf(now.at)}</span> <time dateTime={new Date(now.at).toISOString()}>{timeOf(now.at)}</time>
          {isInUtc() && <span> UTC</span>}
        </p>
      )}
    </header>
  )
}
