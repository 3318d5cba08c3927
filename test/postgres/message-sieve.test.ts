import { describe, expect, test } from 'vitest'
import { MessageSieve } from '../../src/postgres/message-sieve.ts'

const limits = { textBytesMax: 20, messageBytesMax: 100 }

describe('of what a server sends', () => {
  const stream = Buffer.concat([
    message('T', 'description'),
    message('D', 'row'.repeat(100)),
    message('N', 'SNOTICE\0Mshort\0\0'),
    message('D', ''),
    message('E', `M${'ä'.repeat(40)}\0\0`),
    message('d', 'copied'),
    message('C', 'SELECT 2\0'),
    message('Z', 'I'),
  ])

  test.each([1, 2, 3, 4, 5, 6, 7, 11, 64, stream.length])(
    'rows are dropped, and long errors cut at a whole character, in pieces of %i bytes',
    (size) => {
      const sieve = new MessageSieve(limits)
      sieve.dropsRows = true
      expect(messagesIn(sifted(sieve, stream, size))).toEqual([
        ['N', 'SNOTICE\0Mshort\0\0'],
        ['E', `M${'ä'.repeat(9)}\n[62 bytes cut here]\0\0`],
        ['C', 'SELECT 2\0'],
        ['Z', 'I'],
      ])
    },
  )

  test('the rows that nobody drops pass as they are', () => {
    const rows = Buffer.concat([message('T', 'description'), message('D', 'row'), message('C', 'SELECT 1\0')])
    for (const size of [1, 4, 9, rows.length]) expect(sifted(new MessageSieve(limits), rows, size)).toEqual(rows)
  })

  test('a message that is too long is refused at its header', () => {
    const sieve = new MessageSieve(limits)
    expect(() => sieve.sift(message('D', 'x'.repeat(97)).subarray(0, 5))).toThrow(
      'a message of 101 bytes, which is more than the 100 that are taken',
    )
  })
})

function message(code: string, body: string): Buffer {
  const header = Buffer.alloc(5)
  header.write(code)
  header.writeUInt32BE(4 + Buffer.byteLength(body), 1)
  return Buffer.concat([header, Buffer.from(body)])
}

function sifted(sieve: MessageSieve, stream: Buffer, size: number): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < stream.length; at += size) parts.push(sieve.sift(stream.subarray(at, at + size)))
  return Buffer.concat(parts)
}

function messagesIn(stream: Buffer): readonly (readonly [string, string])[] {
  const messages: (readonly [string, string])[] = []
  for (let at = 0; at < stream.length; ) {
    const end = at + 1 + stream.readUInt32BE(at + 1)
    messages.push([stream.toString('latin1', at, at + 1), stream.toString('utf8', at + 5, end)])
    at = end
  }
  return messages
}
