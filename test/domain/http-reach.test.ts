import { expect, test } from 'vitest'
import { addressBytes, mayReach, parseHttpAllowance } from '../../src/domain/http-reach.ts'

test.each([
  // The machine itself, and what is not an address.
  ...['127.0.0.1', '127.255.255.255', '0.0.0.0', '0.1.2.3', '::1', '::', 'localhost', '', '1.2.3', '1.2.3.4.5'],
  // Links, clouds, groups.
  ...['169.254.0.1', '169.254.169.254', 'fe80::1', 'febf::1%eth0', '224.0.0.1', '255.255.255.255', 'ff02::1'],
  ...['100.100.100.200', '168.63.129.16', '192.0.0.192', 'fd00:ec2::254', 'fd20:ce::254'],
  // IPv4 in IPv6: mapped, compatible, translated, tunnelled.
  ...['::ffff:127.0.0.1', '::ffff:7f00:1', '0:0:0:0:0:ffff:a9fe:a9fe', '::127.0.0.1', '64:ff9b::127.0.0.1'],
  ...['64:ff9b:1::a9fe:a9fe', '2002:7f00:1::', '2002:a9fe:a9fe::1', '2001:0:53aa:64c:0:fbff:80ff:fffe'],
])('%j is an inner place', (address) => {
  expect(mayReach({ hostname: 'x', address, port: 80 }, [])).toBe(false)
})

test.each([
  // Private nets are where the services of a site are.
  ...['10.0.0.1', '172.16.0.1', '192.168.1.1', 'fd12:3456::1', '100.64.0.1'],
  ...[
    '126.255.255.255',
    '128.0.0.1',
    '169.253.255.255',
    '169.255.0.0',
    '192.0.2.1',
    '2001:db8::1',
    'fec0::1',
    '::2:0:0',
  ],
  ...['64:ff9b::8.8.8.8', '2002:808:808::', '::ffff:8.8.8.8', '1:2:3:4:5:6:7:8'],
])('%j is not', (address) => {
  expect(mayReach({ hostname: 'x', address, port: 80 }, [])).toBe(true)
})

test.each([
  ['127.0.0.1', '127.0.0.1', 80, true],
  ['127.0.0.1', '127.0.0.2', 80, false],
  ['127.0.0.0/8', '127.0.0.2', 80, true],
  ['127.0.0.0/31', '127.0.0.2', 80, false],
  ['127.0.0.1:80', '127.0.0.1', 80, true],
  ['127.0.0.1:80', '127.0.0.1', 81, false],
  ['::1', '::1', 80, true],
  ['[::1]:80', '::1', 80, true],
  ['[::1]:80', '::1', 81, false],
  ['fe80::/10', 'fe80::1', 80, true],
  ['127.0.0.1', '::ffff:127.0.0.1', 80, true],
  ['0.0.0.0/0', '::1', 80, false],
  ['::/0', '127.0.0.1', 80, true],
  ['Host.Example', '127.0.0.1', 80, true],
  ['host.example:81', '127.0.0.1', 80, false],
  ['other.example', '127.0.0.1', 80, false],
  ['example', '127.0.0.1', 80, false],
])('allowing %s lets host.example at %s, port %i, be reached: %s', (word, address, port, reached) => {
  const allowance = parseHttpAllowance(word)
  expect(allowance).toBeDefined()
  expect(mayReach({ hostname: 'host.EXAMPLE.', address, port }, allowance === undefined ? [] : [allowance])).toBe(
    reached,
  )
})

test.each([
  ...['', ' ', '127.1', '256.0.0.1', '1.2.3.4/33', '1.2.3.4/', '1.2.3.4/8/8', '::/129', 'a b', 'http://x', 'x/8'],
  ...['x:0', 'x:65536', 'x:y', '[x]', '[::1', '-x', '*.example', '[::1]:', '1.2.3.4.5'],
])('%j allows nothing', (word) => {
  expect(parseHttpAllowance(word)).toBeUndefined()
})

test.each([
  ':::',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '::1::',
  '1.2.3.4::',
  '::12345',
  '01.2.3.4',
  '::1%',
  '::%z\0',
  'g::',
])('%j is no address', (text) => {
  expect(addressBytes(text)).toBeUndefined()
})
