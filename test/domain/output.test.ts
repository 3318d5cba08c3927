import { describe, expect, test } from 'vitest'
import { Output } from '../../src/domain/output.ts'

type Case = { said: string; bytesMax?: number; text?: string[]; errors?: string[]; remarks?: string[]; stored: string }

const CASES: Case[] = [
  { said: 'nothing', stored: '' },
  { said: 'text', text: ['a\n', 'b\n'], stored: 'a\nb\n' },
  { said: 'errors only', errors: ['err\n'], stored: '\nScript Error: \nerr\n\n' },
  { said: 'text and errors', text: ['out\n'], errors: ['err\n'], stored: 'out\n\nScript Error: \nerr\n\n' },
  { said: 'remarks only', remarks: ['one', 'two'], stored: '[one]\n[two]' },
  { said: 'a remark after an unended line', text: ['out'], remarks: ['one'], stored: 'out\n[one]' },
  { said: 'a remark after an ended line', text: ['out\n'], remarks: ['one'], stored: 'out\n[one]' },
  { said: 'as much as the limit', bytesMax: 6, text: ['abc', 'def'], stored: 'abcdef' },
  { said: 'one more than the limit', bytesMax: 6, text: ['abcdefg'], stored: 'abc\n[1 bytes cut here]\nefg' },
  { said: 'more, byte by byte', bytesMax: 6, text: [...'abcdefghij'], stored: 'abc\n[4 bytes cut here]\nhij' },
  { said: 'too many errors', bytesMax: 2, errors: ['abcd'], stored: '\nScript Error: \na\n[2 bytes cut here]\nd\n' },
  { said: 'a character across the first cut', bytesMax: 6, text: ['aaäzzz'], stored: 'aa\n[2 bytes cut here]\nzzz' },
  {
    said: 'a character across the last cut',
    bytesMax: 6,
    text: ['aaa', '-ä', 'zz'],
    stored: 'aaa\n[3 bytes cut here]\nzz',
  },
  { said: 'a long character', bytesMax: 6, text: ['😀😀'], stored: '\n[8 bytes cut here]\n' },
  {
    said: 'anything, kept not at all',
    bytesMax: 0,
    text: ['abc'],
    remarks: ['one'],
    stored: '\n[3 bytes cut here]\n[one]',
  },
]

describe('what a step says is stored', () => {
  test.each(CASES)('$said', ({ bytesMax = 1000, text = [], errors = [], remarks = [], stored }) => {
    const output = new Output(bytesMax)
    for (const piece of text) output.write(piece)
    for (const piece of errors) output.writeError(piece)
    for (const line of remarks) output.remark(line)
    expect(output.toString()).toBe(stored)
  })
})

test('of any text, however it is cut into pieces, the same beginning and end are kept', () => {
  const text = 'aé€'.repeat(1000)
  const renderings = [1, 7, 64, 1000, 5000].map((size) => {
    const output = new Output(301)
    for (let at = 0; at < text.length; at += size) output.write(text.slice(at, at + size))
    return output.toString()
  })
  expect(new Set(renderings).size).toBe(1)
})

test('to look at an output that is still being written changes nothing of it', () => {
  const output = new Output(6)
  for (const letter of 'abcdefghij') {
    output.write(letter)
    output.toString()
  }
  expect(output.toString()).toBe('abc\n[4 bytes cut here]\nhij')
})
