import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { CliError } from './cli-error.ts'

/** A server on this machine only, which says hello to whoever posts something. */
export type SampleEndpoint = { readonly port: number; readonly stop: () => Promise<void> }

/** Serves on the wished port if it is free, else on another. None is an ephemeral one, which others may be given. */
export async function startSampleEndpoint(wishedPort: number | undefined): Promise<SampleEndpoint> {
  const started = performance.now()
  const server = createServer((request, response) => {
    request.resume()
    request.once('end', () => {
      const seconds = Math.round((performance.now() - started) / 1_000)
      response.setHeader('content-type', 'application/json')
      response.end(`${JSON.stringify({ hello: 'from the quick start', upSeconds: seconds })}\n`)
    })
  })
  for (const port of candidatePorts(wishedPort)) {
    if (!(await listens(server, port))) continue
    return {
      port,
      stop: async () => {
        const closed = once(server, 'close')
        server.close()
        server.closeAllConnections()
        await closed
      },
    }
  }
  throw new CliError('no free port was found for the endpoint of the sample job')
}

function* candidatePorts(wishedPort: number | undefined): Generator<number> {
  if (wishedPort !== undefined && wishedPort >= 1024 && wishedPort < 32_768) yield wishedPort
  for (let port = 18_400; port < 18_500; port++) yield port
}

async function listens(server: Server, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) => {
      server.off('listening', succeed)
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false)
      else reject(error)
    }
    const succeed = () => {
      server.off('error', fail)
      resolve(true)
    }
    server.once('error', fail).once('listening', succeed).listen(port, '127.0.0.1')
  })
}
