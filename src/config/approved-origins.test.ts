import { describe, expect, it } from 'vitest'
import { judgeUrl } from '../net/policy.ts'
import { approvedOrigins, isOrigin } from './approved-origins.ts'
import { parseConfig } from './parse.ts'

function judge(url: string, allowHosts: readonly string[]): string {
  const config = parseConfig({ egress: { allowHosts: [...allowHosts] } }, { environment: {} })
  const verdict = judgeUrl(url, {
    approvedOrigins: approvedOrigins(config),
    allowHosts: config.egress.allowHosts.filter((entry) => !isOrigin(entry)),
    denyHosts: [],
  })
  return verdict.allowed ? verdict.addresses : verdict.reason
}

describe('origins of egress.allowHosts (I6, NET-01)', () => {
  const local = 'http://127.0.0.1:9000'

  it('I6: an origin approves exactly itself: not its host, another port or another scheme', () => {
    expect(judge(`${local}/token`, [local])).toBe('approved')
    expect(judge(`${local}/token`, [])).toBe('scheme')
    expect(judge('http://127.0.0.1:9001/token', [local])).toBe('scheme')
    expect(judge('https://127.0.0.1:9000/token', [local])).toBe('port')
  })

  it('binds no other host, as a host does', () => {
    expect(judge('https://other.example/', [local])).toBe('public')
    expect(judge('https://other.example/', ['one.example'])).toBe('host-not-allowed')
    expect(judge('https://other.example/', [local, 'one.example'])).toBe('host-not-allowed')
  })
})
