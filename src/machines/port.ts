import type {
  ActorLogic,
  ActorSystem,
  AnyActorRef,
  AnyEventObject,
  EventObject,
  NonReducibleUnknown,
  Snapshot,
} from 'xstate'

/** Work outside a machine, as an actor: it is given an input, may be asked to stop, and ends with an output. */
export type PortLogic<Output, Input extends NonReducibleUnknown = undefined> = ActorLogic<
  PortSnapshot<Output, Input>,
  PortEvent,
  Input,
  // biome-ignore lint/suspicious/noExplicitAny: XState's own logic creators leave the system open.
  ActorSystem<any>,
  EventObject
>

/** An event `interrupt` asks the work to end; it still ends with an output of its own, when it has cleaned up. */
type PortEvent = AnyEventObject

type PortSnapshot<Output, Input> = Snapshot<Output> & { readonly input: Input | undefined }

/** What work may do while it runs. */
export type PortScope<Output> = {
  /** Ends the actor with its output. */
  readonly done: (output: Output) => void
  /** Ends the actor with a defect: a bug, which ends the process. */
  readonly failed: (defect: unknown) => void
  /** Sends an event to the machine that invoked the work. */
  readonly tell: (event: EventObject) => void
}

/** Work that has been started. */
export type PortWork = {
  /** Asks the work to end by itself; it then calls `done`. */
  readonly interrupt: () => void
  /** Ends the work without an answer, since nobody waits for it any more. */
  readonly abandon: () => void
}

/**
 * A typed placeholder for work outside.
 *
 * Machines run, and are drawn, without it being wired; to reach it unwired is an error.
 */
export function port<Output, Input extends NonReducibleUnknown = undefined>(name: string): PortLogic<Output, Input> {
  return portLogic<Output, Input>(() => {
    throw new Error(`port ${name} is not wired`)
  })
}

/** Makes a port of what `start` does. `start` may call its scope before it returns. */
export function portLogic<Output, Input extends NonReducibleUnknown = undefined>(
  start: (input: Input, scope: PortScope<Output>) => PortWork,
): PortLogic<Output, Input> {
  const works = new WeakMap<AnyActorRef, PortWork>()
  return {
    getInitialSnapshot: (_scope, input) => ({ status: 'active', output: undefined, error: undefined, input }),
    getPersistedSnapshot: (snapshot) => snapshot,
    restoreSnapshot: (snapshot) => snapshot as PortSnapshot<Output, Input>,
    start: (snapshot, { self }) => {
      if (snapshot.status !== 'active') return
      const parent = self._parent
      const work = start(snapshot.input as Input, {
        done: (output) => self.send({ type: portDone, output }),
        failed: (error) => self.send({ type: portFailed, error }),
        tell: (event) => parent?.send(event),
      })
      works.set(self, work)
    },
    transition: (snapshot, event, { self }): PortSnapshot<Output, Input> => {
      const { status, input } = snapshot
      if (status !== 'active') return snapshot
      switch (event.type) {
        case portDone:
          return { status: 'done', output: event['output'], error: undefined, input }
        case portFailed:
          return { status: 'error', output: undefined, error: event['error'], input }
        case 'interrupt':
          works.get(self)?.interrupt()
          return snapshot
        case 'xstate.stop':
          works.get(self)?.abandon()
          return { status: 'stopped', output: undefined, error: undefined, input }
        default:
          return snapshot
      }
    },
  }
}

const portDone = 'port.done'
const portFailed = 'port.failed'
