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
  const mapped = /^(?:::ffff:|::)(\d+\.\d+\.\d+\.\d+)$/.exec(text)
  if (mapped !== null) return mapped[1] ?? text
  if (!text.includes(':')) return text
  const [head = '', tail = ''] = text.split('::')
  const left = head.split(':').filter((group) => group !== '')
  const right = tail.split(':').filter((group) => group !== '')
  const missing = text.includes('::') ? Math.max(0, 8 - left.length - right.length) : 0
  const groups = [...left, ...Array.from({ length: missing }, () => '0'), ...right].map((group) =>
    group.replace(/^0+(?=.)/, ''),
  )
  return mappedAddress(groups) ?? `${groups.slice(0, 4).join(':')}::/64`
}

/** The IPv4 address that an IPv4-mapped one stands for, its last part dotted or not. */
function mappedAddress(groups: readonly string[]): string | undefined {
  const [high = '', low] = groups.slice(6)
  if (groups.slice(0, 5).some((group) => group !== '0') || groups[5] !== 'ffff') return undefined
  if (high.includes('.')) return high
  const number = Number.parseInt(high, 16) * 65_536 + Number.parseInt(low ?? '0', 16)
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.')
}
