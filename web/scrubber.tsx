import {
  chosenPosition,
  connection,
  goTo,
  goToFailure,
  goToNewest,
  isAtNewest,
  newest,
  playing,
  position,
  record,
  speed,
  togglePlay,
  trace,
  world,
} from './player.ts'
import { timeOf } from './words.ts'

/** Places for marks of failures: more would be one line. */
const marksMax = 200

/** Goes back and forth in time, and plays. */
export function Scrubber() {
  const now = record.value
  const total = Math.max(1, newest.value)
  const { records, failures } = trace()
  const { told = [], broken } = world.value ?? {}
  const failed = broken === undefined || failures.at(-1) === newest.value ? failures : [...failures, newest.value]
  const marks = placesOf(failed, total)
  const toldMarks = placesOf(
    told.map(({ after }) => Math.max(0, after)),
    total,
  )
  return (
    <footer class="scrubber">
      <div class="buttons">
        <Button label="Previous failure (p)" onClick={() => goToFailure('previous')}>
          <path d="M8 4 3 8l5 4zM13 3.5v6M13 12v.5" />
        </Button>
        <Button label="Step back (←)" onClick={() => goTo(position.value - 1)}>
          <path d="M4.5 3v10M12 3.5 6.5 8l5.5 4.5z" />
        </Button>
        <Button label={playing.value ? 'Pause (space)' : 'Play (space)'} isMain onClick={togglePlay}>
          {playing.value ? <path d="M5.5 3.5v9M10.5 3.5v9" /> : <path d="M5 3l8 5-8 5z" />}
        </Button>
        <Button label="Step forward (→)" onClick={() => goTo(position.value + 1)}>
          <path d="M11.5 3v10M4 3.5 9.5 8 4 12.5z" />
        </Button>
        <Button label="Next failure (n)" onClick={() => goToFailure('next')}>
          <path d="m8 4 5 4-5 4zM3 3.5v6M3 12v.5" />
        </Button>
      </div>
      <div class="track">
        <input
          type="range"
          min="0"
          max={newest.value}
          value={position.value}
          aria-label="Moment"
          aria-valuetext={now && `${timeOf(now.at)}, ${now.actor} in ${now.to}`}
          onInput={(event) => goTo(Number(event.currentTarget.value))}
        />
        <svg class="marks" viewBox={`0 0 ${marksMax} 4`} preserveAspectRatio="none" aria-hidden="true">
          {toldMarks.map((mark) => (
            <rect key={`told ${mark}`} class="told" x={Math.min(mark, marksMax - 0.6)} y="0" width="0.6" height="4" />
          ))}
          {marks.map((mark) => (
            <rect key={mark} x={Math.min(mark, marksMax - 0.6)} y="0" width="0.6" height="4" />
          ))}
        </svg>
        <p class="ends">
          <span>{records[0] && timeOf(records[0].at)}</span>
          <span class="count">
            {newest.value < 0 ? 'nothing yet' : `${position.value + 1} of ${newest.value + 1}`}
            {failed.length > 0 && ` · ${failed.length} ${failed.length === 1 ? 'failure' : 'failures'}`}
          </span>
          <span>{records.at(-1) && timeOf((records.at(-1) as { at: number }).at)}</span>
        </p>
      </div>
      <select
        aria-label="Speed"
        value={speed.value}
        onChange={(event) => {
          speed.value = Number(event.currentTarget.value)
        }}
      >
        {[0.5, 1, 2, 5, 20].map((factor) => (
          <option key={factor} value={factor}>
            {factor}×
          </option>
        ))}
      </select>
      <button
        type="button"
        class="live"
        aria-pressed={isAtNewest.value}
        disabled={connection.value === 'past' && chosenPosition.value === newest.value}
        title="To the newest (l)"
        onClick={goToNewest}
      >
        {connection.value === 'live' ? 'Live' : 'End'}
      </button>
    </footer>
  )
}

function placesOf(positions: readonly number[], total: number): readonly number[] {
  return [...new Set(positions.map((at) => Math.round((at / total) * marksMax)))]
}

type ButtonProps = { label: string; isMain?: boolean; onClick: () => void; children: preact.ComponentChildren }

function Button({ label, isMain = false, onClick, children }: ButtonProps) {
  return (
    <button type="button" class={isMain ? 'main' : ''} aria-label={label} title={label} onClick={onClick}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        {children}
      </svg>
    </button>
  )
}
