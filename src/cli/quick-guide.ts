import { writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { EmbeddedServer } from '../embedded/server.ts'

/** What to do with the server of the quick start: lines to copy, and none of them holds its password. */
export async function quickGuide(server: EmbeddedServer, folder: string, goodbye: string): Promise<string> {
  const { host, port, user } = server
  const passfile = join(folder, 'pgpass')
  await writeFile(passfile, `${host}:${port}:*:${user}:${server.password}\n`, { mode: 0o600 })
  const cli = fileURLToPath(new URL('../cli.js', import.meta.url))
  const near = relative(process.cwd(), cli)
  const escapement = `node ${shellWord(near.startsWith('..') ? cli : near)}`
  const conninfo = `host=${host} port=${port} user=${user} dbname=postgres passfile=${conninfoValue(passfile)}`
  return `
PostgreSQL is ready. To point psql or other programs of its family at it:
  ${conninfo}
To point pgAdmin at it: host ${host}, port ${port}, user ${user}, the password in ${join(folder, 'password')}

What to try next, in another terminal:
  export PGHOST=${host} PGPORT=${port} PGUSER=${user} PGDATABASE=postgres PGPASSFILE=${shellWord(passfile)}
  ${escapement} jobs
  ${escapement} run sample-shell --wait
  ${escapement} runs sample-sql --output --limit 3
  psql -c 'SELECT * FROM sample_readings ORDER BY at DESC LIMIT 5'
${goodbye}
`
}

function conninfoValue(value: string): string {
  return /^[\w./-]+$/.test(value) ? value : `'${value.replaceAll(/['\\]/g, '\\$&')}'`
}

function shellWord(word: string): string {
  return /^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
