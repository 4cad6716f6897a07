import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createRate, networkOf } from './rate.ts'

describe('networkOf', () => {
  it('B16: addresses of one host are one source, neighbours are not', () => {
    const one = [
      '2001:db8:1:2::1',
      '2001:DB8:1:2:ffff::9',
      '[2001:0db8:0001:0002::3]',
      '2001:db8:1:2::1%eth0',
    ]
    expect(new Set(one.map(networkOf)).size).toBe(1)
    expect(networkOf('2001:db8:1:3::1')).not.toBe(networkOf('2001:db8:1:2::1'))
    expect(networkOf('::ffff:192.0.2.1')).toBe(networkOf('192.0.2.1'))
    expect(networkOf('192.0.2.2')).not.toBe(networkOf('192.0.2.1'))
    expect(networkOf('::1')).toBe('0:0:0:0::/64')
    expect(networkOf('2001:0db8:1000:0010::1')).toBe('2001:db8:1000:10::/64')
  })
})

describe('createRate', () => {
  it('lets through the limit, then says how long to wait, then starts again', () => {
    const runtime = createTestRuntime()
    const rate = createRate(runtime, 2)
    expect([rate.take('a'), rate.take('a')]).toEqual([{}, {}])
    runtime.advanceMs(20_000)
    expect(rate.take('a')).toEqual({ retryAfterSeconds: 40 })
    expect(rate.look('b')).toEqual({})
    runtime.advanceMs(40_000)
    expect(rate.take('a')).toEqual({})
  })

  it('I9: stays bounded under a flood of sources, and forgets the oldest first', () => {
    const rate = createRate(createTestRuntime(), 1)
    rate.take('first')
    rate.take('second')
    for (let index = 0; index < 9_999; index += 1) rate.take(`flood${index}`)
    expect(rate.look('first')).toEqual({})
    expect(rate.look('second').retryAfterSeconds).toBeGreaterThan(0)
  })
})
