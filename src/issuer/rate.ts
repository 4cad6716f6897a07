/**
 * How many of something one source did in the last minute, in memory of this node, bounded.
 * A full table forgets the oldest window: it may let one more through, it never locks anybody out.
 */
import type { Runtime } from '../ports.ts'

const WINDOW_MS = 60_000
const SOURCES_MAX = 10_000

export interface Rate {
  /** Counts one; `retryAfterSeconds` is set when this one is above the limit. */
  take(source: string): { readonly retryAfterSeconds?: number }
  /** Is the source above its limit, without counting. */
  look(source: string): { readonly retryAfterSeconds?: number }
}

export function createRate(runtime: Runtime, perMinuteMax: number): Rate {
  const windows = new Map<string, { startedMs: number; count: number }>()
  const read = (source: string, add: number) => {
    const now = runtime.monotonicMs()
    let window = windows.get(source)
    if (window === undefined || now - window.startedMs >= WINDOW_MS) {
      windows.delete(source)
      window = { startedMs: now, count: 0 }
      if (add > 0) {
        if (windows.size >= SOURCES_MAX) windows.delete(windows.keys().next().value ?? '')
        windows.set(source, window)
      }
    }
    if (window.count >= perMinuteMax) {
      return {
        retryAfterSeconds: Math.max(1, Math.ceil((window.startedMs + WINDOW_MS - now) / 1000)),
      }
    }
    window.count += add
    return {}
  }
  return { take: (source) => read(source, 1), look: (source) => read(source, 0) }
}

/** The network of an address: IPv4 whole, IPv6 its /64, so that one host is one source (B16). */
export function networkOf(address: string): string {
  const text = address
    .replace(/^\[|\]$/g, '')
    .replace(/%.*$/, '')
    .toLowerCase()
  if (!text.includes(':')) return text
  const dotted = /:(\d+\.\d+\.\d+\.\d+)$/.exec(text)?.[1]
  const groups = groupsOf(dotted === undefined ? text : text.replace(dotted, hexGroups(dotted)))
  const embeds = groups[5] === 'ffff' || (groups[5] === '0' && dotted !== undefined)
  if (embeds && groups.slice(0, 5).every((group) => group === '0'))
    return dotted ?? dottedOf(groups[6], groups[7])
  return `${groups.slice(0, 4).join(':')}::/64`
}

/** The eight groups of an IPv6 address, without leading zeros. */
function groupsOf(text: string): readonly string[] {
  const [head = '', tail = ''] = text.split('::')
  const left = head.split(':').filter((group) => group !== '')
  const right = tail.split(':').filter((group) => group !== '')
  const missing = text.includes('::') ? Math.max(0, 8 - left.length - right.length) : 0
  return [...left, ...Array.from({ length: missing }, () => '0'), ...right].map((group) =>
    group.replace(/^0+(?=.)/, ''),
  )
}

function hexGroups(dotted: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = dotted.split('.').map(Number)
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
}

function dottedOf(high = '0', low = '0'): string {
  const number = Number.parseInt(high, 16) * 65_536 + Number.parseInt(low, 16)
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.')
}
