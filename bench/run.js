// Runs program.ts, which Node 20 cannot by itself.
import { fileURLToPath } from 'node:url'
import { runnerImport } from 'vite'

await runnerImport(fileURLToPath(new URL('program.ts', import.meta.url)))
