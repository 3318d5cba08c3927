import type { Client } from 'pg'
import { install } from '../../src/schema/install.ts'
import { primaryOf, ServerNode, type Stop } from './server-node.ts'

/** A primary and its standby, which commits wait for, with the schema installed; the two change places. */
export class Pair {
  readonly nodes: readonly [ServerNode, ServerNode]
  primary: ServerNode
  standby: ServerNode

  constructor(name: string) {
    this.primary = new ServerNode(`${name}_east`)
    this.standby = new ServerNode(`${name}_west`)
    this.nodes = [this.primary, this.standby]
  }

  async start(): Promise<this> {
    await this.primary.start()
    await this.ask(install)
    await this.primary.copyTo(this.standby)
    await this.standby.start()
    await this.primary.waitFor(this.standby)
    return this
  }

  /** A connection string with both, for an agent. */
  get conninfo(): string {
    return primaryOf(this.nodes)
  }

  /** Asks whichever is the primary. */
  async ask<T>(question: (client: Client) => Promise<T>): Promise<T> {
    const client = await this.primary.client()
    try {
      return await question(client)
    } finally {
      await client.end()
    }
  }

  /** Loses the primary, and promotes the standby, which it returns when that can be written to. */
  async failOver(how: Stop): Promise<ServerNode> {
    await this.primary.stop(how)
    await this.standby.promote()
    ;[this.primary, this.standby] = [this.standby, this.primary]
    return this.primary
  }

  /** Makes the server that was lost a standby: as it is after a fast stop, else as a copy. */
  async repair(how: Stop): Promise<void> {
    if (how === 'fast') await this.standby.follow(this.primary)
    else await this.primary.copyTo(this.standby)
    await this.standby.start()
    await this.primary.waitFor(this.standby)
  }
}
