import type { IncomingMessage } from 'node:http'
import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createRefusalPace } from './refusal-pace.ts'

/** A tenth of them at once. */
const PER_SECOND = 30
const MAX = 3

function start(addressOf: (request: IncomingMessage) => string | undefined) {
  const runtime = createTestRuntime()
  const { monotonicMs, after } = runtime
  const refusals = createRefusalPace({ perSecondMax: PER_SECOND, addressOf, monotonicMs, after })
  let answered = 0
  const refuse = (request: Partial<IncomingMessage>, times = 1): number => {
    const before = answered
    for (let n = 0; n < times; n++) {
      refusals.pace(request as IncomingMessage, () => {
        answered += 1
      })
    }
    return answered - before
  }
  return { runtime, refuse, answered: () => answered }
}

/** A request whose address is its `url`. */
const byUrl = (request: IncomingMessage) => request.url
const from = (url: string): Partial<IncomingMessage> => ({ url })

describe('the pace of refusals', () => {
  it('C7: answers a tenth of a second at once and the rest at the rate, at most two seconds late', () => {
    const { runtime, refuse, answered } = start(byUrl)
    expect(refuse(from('192.0.2.1'), MAX + 100)).toBe(MAX)
    runtime.advanceMs(1_000)
    expect(answered()).toBe(MAX + PER_SECOND)
    runtime.advanceMs(999)
    expect(answered()).toBe(MAX + 2 * PER_SECOND - 1)
    runtime.advanceMs(1)
    expect(answered()).toBe(MAX + 100)
    runtime.advanceMs(2_000)
    expect(refuse(from('192.0.2.1'), MAX + 1)).toBe(MAX)
  })

  it('C7: counts each network for itself, an IPv6 host as its /64', () => {
    const { refuse } = start(byUrl)
    expect(refuse(from('192.0.2.1'), MAX + 1)).toBe(MAX)
    expect(refuse(from('192.0.2.2'), MAX + 1)).toBe(MAX)
    expect(refuse(from('2001:db8::1'), MAX)).toBe(MAX)
    expect(refuse(from('2001:db8::2'))).toBe(0)
    expect(refuse(from('2001:db8:0:1::1'))).toBe(1)
  })

  it('C7: counts each connection for itself where the address is not known', () => {
    const { refuse } = start(() => undefined)
    const [one, other] = [{}, {}] as IncomingMessage['socket'][]
    expect(refuse({ socket: one } as IncomingMessage, MAX + 1)).toBe(MAX)
    expect(refuse({ socket: other } as IncomingMessage, MAX + 1)).toBe(MAX)
  })

  it('C7: remembers ten thousand sources and forgets the oldest', () => {
    const { refuse } = start(byUrl)
    expect(refuse(from('192.0.2.1'), MAX + 1)).toBe(MAX)
    for (let n = 0; n < 10_000; n++) refuse(from(`10.0.${n >> 8}.${n & 255}`))
    expect(refuse(from('192.0.2.1'), MAX + 1)).toBe(MAX)
  })

  it('C7: holds a bounded number of answers back, and gives the others at once', () => {
    const { runtime, refuse, answered } = start(byUrl)
    expect(refuse(from('192.0.2.1'), MAX + 20_005)).toBe(MAX + 5)
    expect(runtime.timers()).toBe(20_000)
    runtime.advanceMs(2_000)
    expect(answered()).toBe(MAX + 20_005)
  })
})
