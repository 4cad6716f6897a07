import { describe, expect, it } from 'vitest'
import { type EgressPolicy, judgeUrl } from './policy.ts'

const OPEN: EgressPolicy = {
  approvedOrigins: new Set(['http://127.0.0.1:8000', 'https://idp.internal:8443']),
  allowHosts: [],
  denyHosts: [],
}

function reason(url: string, policy: Partial<EgressPolicy> = {}): string {
  const verdict = judgeUrl(url, { ...OPEN, ...policy })
  return verdict.allowed ? verdict.addresses : verdict.reason
}

describe('judgeUrl', () => {
  it.each([
    ['https://example.com/x?y=1', 'public'],
    ['http://example.com/', 'scheme'],
    ['ftp://example.com/', 'scheme'],
    ['file:///etc/passwd', 'scheme'],
    ['javascript:alert(1)', 'scheme'],
    ['data:text/plain,x', 'scheme'],
    ['https://user@example.com/', 'userinfo'],
    ['https://user:pass@example.com/', 'userinfo'],
    ['https://example.com/#x', 'fragment'],
    ['https://example.com:8443/', 'port'],
    ['https://example.com:443/', 'public'],
    ['//example.com/', 'not-a-url'],
    ['', 'not-a-url'],
    ['http://127.0.0.1:8000/mcp', 'approved'],
    ['http://127.0.0.1:8001/mcp', 'scheme'],
    ['https://127.0.0.1:8000/mcp', 'port'],
    ['https://idp.internal:8443/', 'approved'],
    ['http://u@127.0.0.1:8000/', 'userinfo'],
  ])('NET-01: %j is judged %s', (url, expected) => {
    expect(reason(url)).toBe(expected)
  })

  it.each([
    'https://127.0.0.1/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://0177.0.0.1/',
    'https://[::1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[::127.0.0.1]/',
    'https://[64:ff9b::7f00:1]/',
    'https://[2002:7f00:1::]/',
    'https://169.254.169.254/latest/meta-data/',
    'https://[fd00:ec2::254]/',
    'https://10.1/',
    'https://0/',
  ])('S1: %s is a special address in one of its spellings', (url) => {
    expect(judgeUrl(url, OPEN)).toMatchObject({ allowed: false, code: 'ERR_UPSTREAM_ADDRESS' })
  })

  it('NET-07: keeps to the allow-list, and the configuration file names its own origins', () => {
    const policy = { allowHosts: ['example.com', '*.trusted.test'] }
    expect(reason('https://example.com/', policy)).toBe('public')
    expect(reason('https://example.com./', policy)).toBe('public')
    expect(reason('https://a.trusted.test/', policy)).toBe('public')
    expect(reason('https://trusted.test/', policy)).toBe('host-not-allowed')
    expect(reason('https://eviltrusted.test/', policy)).toBe('host-not-allowed')
    expect(reason('https://other.test/', policy)).toBe('host-not-allowed')
    expect(reason('http://127.0.0.1:8000/', policy)).toBe('approved')
  })

  it('NET-07: a denied host stays denied, with a root dot and when it is approved', () => {
    const policy = { denyHosts: ['EXAMPLE.com', '127.0.0.1'] }
    expect(reason('https://example.com/', policy)).toBe('denied-host')
    expect(reason('https://example.com./', policy)).toBe('denied-host')
    expect(reason('http://127.0.0.1:8000/', policy)).toBe('denied-host')
  })
})
