import { parentPort } from 'node:worker_threads'
import { walkSeed } from './swarm.ts'

/** A thread of the swarm: walks the world of each seed that it is sent, and sends back what came of it. */
parentPort?.on('message', (seed: number) => parentPort?.postMessage(walkSeed(seed)))
