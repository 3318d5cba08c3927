import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { logWriter } from '../src/log.ts'

test('a log file that is made is not for everybody to read, also after it was moved away', () => {
  const folder = mkdtempSync(join(tmpdir(), 'escapement-log-'))
  const file = join(folder, 'agent.log')
  const umask = process.umask(0)
  try {
    const write = logWriter({ level: 1, format: 'text', file })
    expect(statSync(file).mode & 0o777).toBe(0o640)
    rmSync(file)
    write({ level: 0, severity: 'INFO', text: 'one\r\ntwo \u001b[31m \u202e' })
    expect(statSync(file).mode & 0o777).toBe(0o640)
    expect(readFileSync(file, 'utf8')).toMatch(/^.* INFO: one\\r\\ntwo \\u001b\[31m \\u202e\n$/)
  } finally {
    process.umask(umask)
    rmSync(folder, { recursive: true })
  }
})
