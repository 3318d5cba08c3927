import { enlarged, machines } from './chart.tsx'
import { goTo, goToFailure, goToNewest, position, togglePlay } from './player.ts'

/** Keys that work wherever they mean nothing else. */
const keys: Readonly<Record<string, () => void>> = {
  ' ': togglePlay,
  ArrowLeft: () => goTo(position.value - 1),
  ArrowRight: () => goTo(position.value + 1),
  Home: () => goTo(0),
  End: goToNewest,
  n: () => goToFailure('next'),
  p: () => goToFailure('previous'),
  l: goToNewest,
  Escape: () => {
    enlarged.value = undefined
  },
  ...Object.fromEntries(
    machines.map((machine, index) => [
      String(index + 1),
      () => {
        enlarged.value = enlarged.value === machine ? undefined : machine
      },
    ]),
  ),
}

export function listenToKeys(): void {
  addEventListener('keydown', (event) => {
    const { key, target, ctrlKey, metaKey, altKey } = event
    if (ctrlKey || metaKey || altKey || !(target instanceof Element)) return
    const isTyped = target.matches('input[type=search], select')
    const isPressed = key === ' ' && target.matches('button')
    const isMoved = /^(Arrow|Home|End)/.test(key) && target.matches('input, .frame')
    const act = keys[key]
    if (act === undefined || isTyped || isPressed || isMoved) return
    event.preventDefault()
    act()
  })
}
