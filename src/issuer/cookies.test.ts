import { describe, expect, it } from 'vitest'
import { formCookie, readCookies, sessionCookie, transactionCookie } from './cookies.ts'

const SECRET = 'a'.repeat(43)
const jar = (cookie: string, secure = true) =>
  readCookies(new Request('https://auth.example/', { headers: { cookie } }), { secure, config: {} })

describe('cookies', () => {
  it('B15 W5: a name that comes twice is absent, whichever value is ours', () => {
    const twice = `__Host-postern_session=${SECRET}; __Host-postern_session=${'b'.repeat(43)}`
    expect(sessionCookie.read(jar(twice))).toBeUndefined()
    expect(sessionCookie.read(jar(`${twice}; __Host-postern_session=${SECRET}`))).toBeUndefined()
  })

  it('B15 SEC-12: another prefix, case, length or character is absent', () => {
    for (const cookie of [
      `postern_session=${SECRET}`,
      `__Secure-postern_session=${SECRET}`,
      `__host-postern_session=${SECRET}`,
      `__Host-postern_session=${SECRET}a`,
      `__Host-postern_session="${SECRET}"`,
      `__Host-postern_session=${'ä'.repeat(43)}`,
      '__Host-postern_session=',
      '__Host-postern_session',
      '=; ;;==',
    ]) {
      expect(sessionCookie.read(jar(cookie)), cookie).toBeUndefined()
    }
    expect(sessionCookie.read(jar(`x=1; __Host-postern_session=${SECRET} `))).toBe(SECRET)
    expect(sessionCookie.read(jar(`postern_session=${SECRET}`, false))).toBe(SECRET)
  })

  it('O5: tenants of one host have cookies of their own, and count transactions together', () => {
    const house = { secure: true, config: { tenant: 'acme' } }
    const read = (cookie: string) =>
      readCookies(new Request('https://auth.example/', { headers: { cookie } }), house)
    for (const name of ['postern_session', 'postern_session-acme-b', 'postern_session-other'])
      expect(sessionCookie.read(read(`__Host-${name}=${SECRET}`)), name).toBeUndefined()
    expect(sessionCookie.read(read(`__Host-postern_session-acme=${SECRET}`))).toBe(SECRET)
    expect(formCookie.set(read(''), SECRET)).toMatch(/^__Host-postern_form-acme=/)
    const open = Array.from(
      { length: 8 },
      (_, index) => `__Host-postern_txn${index < 4 ? '' : '-other'}_tab00${index}=${index}.a`,
    )
    const lines = transactionCookie.set(read(open.join('; ')), 'tkt_000newone', '9.a')
    expect(lines).toHaveLength(2)
    expect(lines[0]).toMatch(/^__Host-postern_txn-acme_newone=/)
    expect(lines[1]).toMatch(/^__Host-postern_txn_tab000=; /)
  })

  it('B15: a header larger than 16 KiB is read as none', () => {
    const huge = `__Host-postern_form=${SECRET}; x=${'y'.repeat(16_384)}`
    expect(formCookie.read(jar(huge))).toBeUndefined()
  })

  it('keeps at most eight transactions and drops the oldest', () => {
    const seconds = (value: number) => `${value.toString(36)}.${SECRET}`
    const open = Array.from(
      { length: 8 },
      (_, index) => `__Host-postern_txn_tab00${index}=${seconds(1000 + index)}`,
    )
    const lines = transactionCookie.set(jar(open.join('; ')), 'tkt_000newone', seconds(2000))
    expect(lines).toHaveLength(2)
    expect(lines[0]).toMatch(/^__Host-postern_txn_newone=/)
    expect(lines[1]).toMatch(/^__Host-postern_txn_tab000=; Path=\/; Max-Age=0; Secure/)
  })
})
