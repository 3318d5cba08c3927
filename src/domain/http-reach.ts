/** A place that HTTP steps may reach though it is an inner one: a host by its name, or a net; on one port, or on any. */
export type HttpAllowance = {
  readonly place: { readonly host: string } | { readonly net: readonly number[]; readonly bits: number }
  readonly port: number | undefined
}

/** Where a request is about to connect to. */
export type HttpPeer = {
  /** As the address of the request has it, in small letters; an IPv6 address without brackets. */
  readonly hostname: string
  /** What that name stands for now. */
  readonly address: string
  readonly port: number
}

/**
 * Whether an HTTP step may reach a peer.
 *
 * Inner places are the machine itself, its links, and the addresses at which clouds tell their machines secrets, in
 * whatever form an address may carry them. They are refused unless allowed; so is what is no address.
 */
export function mayReach({ hostname, address, port }: HttpPeer, allowances: readonly HttpAllowance[]): boolean {
  const bytes = addressBytes(address)
  if (bytes === undefined) return false
  const forms = [bytes, ...carriedBy(bytes)]
  if (!forms.some((form) => innerNets.some(({ net, bits }) => isWithin(form, net, bits)))) return true
  const host = hostname.toLowerCase().replace(/\.$/, '')
  return allowances.some(
    ({ place, port: only }) =>
      (only === undefined || only === port) &&
      ('host' in place ? place.host === host : isWithin(bytes, place.net, place.bits)),
  )
}

/** Reads `127.0.0.1`, `127.0.0.1:8080`, `[::1]:8080`, `::1`, `127.0.0.0/8`, `localhost` or `localhost:8080`. */
export function parseHttpAllowance(word: string): HttpAllowance | undefined {
  const [, inBrackets, plain, digits] = /^(?:\[([^\]]*)\]|([^[\]:]*))(?::(\d{1,5}))?$/.exec(word) ?? []
  const port = digits === undefined ? undefined : Number(digits)
  if (port !== undefined && (port < 1 || port > 65_535)) return undefined
  const text = inBrackets ?? plain ?? word
  const [base = '', length, ...rest] = text.split('/')
  const bytes = addressBytes(base)
  if (bytes === undefined) {
    const isName = /^(?!.*\.\d+$)(?=.*[a-z])[a-z\d_]([a-z\d_.-]*[a-z\d_])?$/i.test(text) && inBrackets === undefined
    return isName ? { place: { host: text.toLowerCase() }, port } : undefined
  }
  const offset = base.includes(':') ? 0 : 96
  if (rest.length > 0 || (length !== undefined && !/^\d{1,3}$/.test(length))) return undefined
  const bits = length === undefined ? 128 : offset + Number(length)
  return bits > 128 ? undefined : { place: { net: bytes, bits }, port }
}

/** The 16 bytes of an IPv6 address, or of an IPv4 address as IPv6 maps it; undefined for anything else. */
export function addressBytes(text: string): readonly number[] | undefined {
  const v4 = v4Bytes(text)
  if (v4 !== undefined) return [...mapped, ...v4]
  const [address = '', zone, ...more] = text.split('%')
  if (!address.includes(':') || more.length > 0 || (zone !== undefined && !/^[\da-z.:-]+$/i.test(zone)))
    return undefined
  const halves = address.split('::')
  if (halves.length > 2) return undefined
  const [head, tail] = halves.map((half, index) => groupsBytes(half, index === halves.length - 1))
  if (head === undefined) return undefined
  if (halves.length === 1) return head.length === 16 ? head : undefined
  if (tail === undefined || head.length + tail.length > 14) return undefined
  return [...head, ...new Array<number>(16 - head.length - tail.length).fill(0), ...tail]
}

function v4Bytes(text: string): readonly number[] | undefined {
  if (!/^(?:(?:0|[1-9]\d{0,2})\.){3}(?:0|[1-9]\d{0,2})$/.test(text)) return undefined
  const bytes = text.split('.').map(Number)
  return bytes.every((byte) => byte <= 255) ? bytes : undefined
}

/** Groups of four digits; the last two of an address may be written as an IPv4 address. */
function groupsBytes(text: string, isLast: boolean): readonly number[] | undefined {
  if (text === '') return []
  const bytes: number[] = []
  const groups = text.split(':')
  for (const [index, group] of groups.entries()) {
    const v4 = isLast && index === groups.length - 1 ? v4Bytes(group) : undefined
    if (v4 !== undefined) bytes.push(...v4)
    else if (/^[\da-f]{1,4}$/i.test(group))
      bytes.push(Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255)
    else return undefined
  }
  return bytes
}

/** The IPv4 addresses that an IPv6 address leads to by way of a translator or a tunnel. */
function carriedBy(bytes: readonly number[]): readonly (readonly number[])[] {
  const carriers: readonly [net: string, bits: number, v4: readonly number[]][] = [
    ['::', 96, bytes.slice(12)],
    ['64:ff9b::', 96, bytes.slice(12)],
    ['64:ff9b:1::', 48, bytes.slice(12)],
    ['2002::', 16, bytes.slice(2, 6)],
    ['2001::', 32, bytes.slice(12).map((byte) => byte ^ 255)],
  ]
  return carriers
    .filter(([net, bits]) => isWithin(bytes, addressBytes(net) ?? [], bits))
    .map(([, , v4]) => [...mapped, ...v4])
}

function isWithin(bytes: readonly number[], net: readonly number[], bits: number): boolean {
  return bytes.every((byte, index) => {
    const rest = Math.min(8, Math.max(0, bits - index * 8))
    return byte >> (8 - rest) === (net[index] ?? 0) >> (8 - rest)
  })
}

const mapped: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]

const innerNets = [
  // The machine itself.
  ...['0.0.0.0/8', '127.0.0.0/8', '::/128', '::1/128'],
  // Its links, where clouds answer too, and groups of machines.
  ...['169.254.0.0/16', 'fe80::/10', '224.0.0.0/4', '255.255.255.255/32', 'ff00::/8'],
  // What clouds tell their machines, at addresses that are not of the link.
  ...['100.100.100.200/32', '168.63.129.16/32', '192.0.0.192/32', 'fd00:ec2::254/128', 'fd20:ce::254/128'],
].map((text) => {
  const [base = '', bits = ''] = text.split('/')
  return { net: addressBytes(base) ?? [], bits: Number(bits) + (base.includes(':') ? 0 : 96) }
})
