import { describe, expect, it } from 'vitest'
import { maxAgeSeconds, retryAfterMs } from './cache-control.ts'

const BOUNDS = { min: 300, max: 86_400, otherwise: 3_600 }
const NOW_MS = Date.parse('2026-01-01T00:00:00Z')

describe('maxAgeSeconds', () => {
  it.each([
    ['', 3_600],
    ['max-age=600', 600],
    ['public, max-age=600', 600],
    ['max-age="600"', 600],
    ['max-age=1', 300],
    ['max-age=99999999', 86_400],
    ['no-store', 300],
    ['no-cache, max-age=900', 300],
    ['s-maxage=900, max-age=600', 900],
    ['max-age=-1', 3_600],
    ['max-age=ten', 3_600],
    ['MAX-AGE=700', 700],
    ['max-age=99999999999999999999', 3_600],
  ])('VAL-14: %j gives %d s within the bounds', (value, seconds) => {
    expect(maxAgeSeconds(new Headers(value === '' ? {} : { 'cache-control': value }), BOUNDS)).toBe(
      seconds,
    )
  })

  it('takes off the age that the answer already has (RFC 9111 section 4.2.3)', () => {
    expect(maxAgeSeconds(new Headers({ 'cache-control': 'max-age=900', age: '100' }), BOUNDS)).toBe(
      800,
    )
  })
})

describe('retryAfterMs', () => {
  it.each([
    [undefined, undefined],
    ['5', 5_000],
    ['0', 0],
    ['999999999', 300_000],
    ['-5', undefined],
    ['soon', undefined],
    ['Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
    ['Wed, 31 Dec 2025 00:00:00 GMT', 0],
    ['Fri, 01 Jan 2100 00:00:00 GMT', 300_000],
    ['2026', 300_000],
    ['1e3', undefined],
  ])('F4: %j waits %s ms', (value, waitMs) => {
    const headers = new Headers(value === undefined ? {} : { 'retry-after': value })
    expect(retryAfterMs(headers, NOW_MS, 300_000)).toBe(waitMs)
  })
})
