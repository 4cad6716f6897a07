import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyText, checkFamily, SEED } from '../../test/kit/family.ts'
import { isAllowed, type PersonFacts, parseEmail } from './allow.ts'

const person: PersonFacts = {
  provider: 'github',
  subject: '42',
  groups: ['corp/admins'],
  profile: { email: 'Ann@Corp.example', emailVerified: true },
}
const withEmail = (email: string, emailVerified = true): PersonFacts => ({
  ...person,
  profile: { email, emailVerified },
})

describe('isAllowed', () => {
  it('PRV-22: any match admits', () => {
    for (const allow of [
      'anyone',
      { emails: ['ann@corp.example'] },
      { emailDomains: ['corp.example'] },
      { users: ['github:42'] },
      { groups: ['x', 'corp/admins'] },
      { emails: ['x@y.zz'], users: ['github:42'] },
    ] as const) {
      expect(isAllowed(allow, person), JSON.stringify(allow)).toBe(true)
    }
  })

  it('I7: no rule and empty lists admit nobody', () => {
    for (const allow of [undefined, {}, { emails: [] }, { users: [], groups: [] }])
      expect(isAllowed(allow, person)).toBe(false)
  })

  it('PRV-22: near misses do not match', () => {
    for (const allow of [
      { users: ['gitlab:42'] },
      { users: ['github:4'] },
      { users: ['42'] },
      { users: ['github:42 '] },
      { groups: ['corp'] },
      { groups: ['CORP/ADMINS'] },
      { emailDomains: ['example'] },
      { emailDomains: ['sub.corp.example'] },
      { emailDomains: ['@corp.example'] },
      { emails: ['corp.example'] },
    ]) {
      expect(isAllowed(allow, person), JSON.stringify(allow)).toBe(false)
    }
  })

  it('PRV-21, A28: an e-mail counts only when the provider verified it', () => {
    const allow = { emails: ['ann@corp.example'], emailDomains: ['corp.example'] }
    expect(isAllowed(allow, withEmail('ann@corp.example', true))).toBe(true)
    expect(isAllowed(allow, withEmail('ann@corp.example', false))).toBe(false)
    expect(isAllowed(allow, { ...person, profile: { email: 'ann@corp.example' } })).toBe(false)
    expect(isAllowed(allow, { ...person, profile: {} })).toBe(false)
  })

  it('A28: B6: none of 150 addresses fools a domain or address rule', async () => {
    const forms = [
      'a@evil@D',
      'a@D@evil.example',
      '"a@D"@evil.example',
      '"a"@D',
      'a@D,b@evil.example',
      'b@evil.example,a@D',
      'a@D;b@evil.example',
      '<a@D>',
      'Ann <a@D>',
      'a@D>',
      'a@D ',
      ' a@D',
      'a@D\n',
      'a@D\0',
      'a@D\0.evil.example',
      'a@D.',
      'a@.D',
      'a@D.evil.example',
      'a@evil-D',
      'a@evilD',
      'a@sub.D',
      'a@[D]',
      'a@(x)D',
      'a(x)@D',
      'a@ D',
      'a @D',
      'a@\tD',
      'a\\@D',
      'a%40D',
      'a@evil.example%40D',
      'a@evil.example#@D',
      'a@evil.example?@D',
      '@D',
      'D',
      'a@',
      'a',
      '',
      '.a@D',
      'a.@D',
      'a..b@D',
      'a@-D',
      'a@D-',
      'a\u200b@D',
      'a@\u200bD',
      'a@D\u202e',
      'a\uff20D',
      'a@\ud800D',
      'mailto:a@D',
      'a@D:25',
      'a@D/x',
      'a@//D',
      `${'a'.repeat(65)}@D`,
      `a@${'x'.repeat(250)}.D`,
      'é@D',
      'a@D\u3002',
      'a@D%00',
    ]
    const domains = ['corp.example', 'CORP.EXAMPLE', 'corp\u3002example']
    const looks = [
      'a@c\u043erp.example',
      'a@corp\uff0eexample',
      'a@corp.e\u0445ample',
      'a@corp.exa\u217fple',
      'a@corp.exampl\u212f',
      '\u212aelvin@corp.example',
      'a@corp_example',
      'a@corp',
      'a@localhost',
      'a@127.0.0.1',
      'a@1.2.3.4',
    ]
    const cases = [
      ...forms.flatMap((form) => domains.map((domain) => form.replaceAll('D', domain))),
      ...looks,
    ]
    expect(cases.length).toBeGreaterThanOrEqual(150)
    const allow = {
      emails: ['kelvin@corp.example', 'a@corp.example', 'a@localhost', 'a@1.2.3.4'],
      emailDomains: ['corp.example', 'evil', 'corp', 'localhost', '1.2.3.4'],
    }
    await checkFamily('B6', cases, (email) => !isAllowed(allow, withEmail(email)))
  })

  it('A28: subjects and groups with separators stay what they are', () => {
    const odd = { ...person, provider: 'a', subject: 'b:c', groups: ['x,y'] }
    expect(isAllowed({ users: ['a:b:c'] }, odd)).toBe(true)
    expect(isAllowed({ users: ['a:b'] }, odd)).toBe(false)
    expect(isAllowed({ groups: ['x'] }, odd)).toBe(false)
  })
})

describe('parseEmail', () => {
  it('gives lower-case address and domain', () => {
    expect(parseEmail("A.b+c_d'e@Sub.Corp-1.example")).toEqual({
      address: "a.b+c_d'e@sub.corp-1.example",
      domain: 'sub.corp-1.example',
    })
  })

  it('A28: takes one @ and ASCII; never throws', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, fc.emailAddress(), fc.anything()), (value) => {
        const email = parseEmail(value)
        if (email === undefined) return
        expect(email.address.split('@')).toHaveLength(2)
        expect(email.address).toMatch(/^[\x21-\x7e]+$/)
        expect(parseEmail(email.address)).toEqual(email)
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})
