import net from 'node:net'

/** What clients asked of a server, by the connection they used. */
export type Asked = {
  /** Statements that were run. */
  statements: number
  /** Transactions: each that changed something is a commit. */
  transactions: number
  /** Times that a client wrote after it had been answered. */
  roundTrips: number
  /** Whether its agent claims in it, or clears it after steps; an agent has others for other things. */
  use: 'own' | 'steps' | undefined
}

/**
 * Stands between PostgreSQL's clients and their server on 127.0.0.1, passes everything on, and counts what is asked. The
 * connections are told apart by their order.
 */
export async function tappedLink(serverPort: number): Promise<TappedLink> {
  const connections: Asked[] = []
  const sockets = new Set<net.Socket>()
  const server = net.createServer((near) => {
    const asked: Asked = { statements: 0, transactions: 0, roundTrips: 0, use: undefined }
    connections.push(asked)
    const far = net.connect(serverPort, '127.0.0.1')
    const count = counter(asked)
    let isAnswered = true
    near.on('data', (chunk) => {
      if (isAnswered) asked.roundTrips++
      isAnswered = false
      count(chunk)
    })
    far.on('data', () => {
      isAnswered = true
    })
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    near.pipe(far).pipe(near)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as net.AddressInfo).port,
    counts: () => connections.map((asked) => ({ ...asked })),
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export type TappedLink = {
  readonly port: number
  readonly counts: () => readonly Asked[]
  readonly close: () => Promise<void>
}

/** Reads the client's side of the protocol: a start-up message without a type, then messages of a type and a length. */
function counter(asked: Asked): (chunk: Buffer) => void {
  let pending = Buffer.alloc(0)
  let hasStarted = false
  return (chunk) => {
    pending = Buffer.concat([pending, chunk])
    for (;;) {
      const head = hasStarted ? 1 : 0
      if (pending.length < head + 4) return
      const length = head + pending.readInt32BE(head)
      if (pending.length < length) return
      if (hasStarted) note(pending.toString('latin1', 0, length))
      hasStarted = true
      pending = pending.subarray(length)
    }
  }

  function note(message: string): void {
    const [type] = message
    if (type === 'P' && message.includes('claimed AS')) asked.use = 'own'
    if (type === 'Q' && message.includes('DISCARD ALL')) asked.use = 'steps'
    if (type === 'Q' || type === 'E') asked.statements++
    if (type === 'Q' || type === 'S') asked.transactions++
  }
}
