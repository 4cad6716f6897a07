import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyText, checkFamily, SEED } from '../../test/kit/family.ts'
import { oddAddresses } from '../../test/kit/odd-addresses.ts'
import { type AllowRule, both, judgeAllowed, type PersonFacts, parseEmail } from './allow.ts'

const TENANT_ID = '7f1c0000-0000-4000-8000-0000000000aa'
const person: PersonFacts = {
  provider: 'github',
  subject: '42',
  belonging: { groups: ['corp/admins'], roles: ['operator'], entraTenant: TENANT_ID.toUpperCase() },
  memberships: ['acme', 'acme/reviewers'],
  profile: { email: 'Ann@Corp.example', emailVerified: true },
}
const isAllowed = (allow: AllowRule | undefined, facts: PersonFacts): boolean =>
  judgeAllowed(allow, facts) === 'in'
const withEmail = (email: string, emailVerified = true): PersonFacts => ({
  ...person,
  profile: { email, emailVerified },
})

describe('judgeAllowed', () => {
  it('PRV-22: any match admits', () => {
    for (const allow of [
      'anyone',
      { emails: ['ann@corp.example'] },
      { emailDomains: ['corp.example'] },
      { users: ['github:42'] },
      { groups: ['x', 'corp/admins'] },
      { roles: ['operator'] },
      { githubOrganizations: ['other', 'acme'] },
      { githubTeams: ['acme/reviewers'] },
      { entraTenants: [TENANT_ID] },
      { emails: ['x@y.zz'], users: ['github:42'] },
      { githubOrganizations: ['other'], roles: ['operator'] },
    ] as const) {
      expect(isAllowed(allow, person), JSON.stringify(allow)).toBe(true)
    }
  })

  it('I7: no rule and empty lists admit nobody', () => {
    for (const allow of [undefined, {}, { emails: [] }, { users: [], groups: [], roles: [] }])
      expect(judgeAllowed(allow, person)).toBe('out')
  })

  it('PRV-22: near misses do not match', () => {
    for (const allow of [
      { users: ['gitlab:42'] },
      { users: ['github:4'] },
      { users: ['42'] },
      { users: ['github:42 '] },
      { groups: ['corp'] },
      { groups: ['CORP/ADMINS'] },
      { groups: ['acme'] },
      { roles: ['Operator'] },
      { roles: ['corp/admins'] },
      { githubOrganizations: ['acme/reviewers2', 'corp/admins', ''] },
      { githubTeams: ['acme/review', 'reviewers'] },
      { entraTenants: ['7f1c0000-0000-4000-8000-0000000000ab'] },
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
    const cases = oddAddresses()
    expect(cases.length).toBeGreaterThanOrEqual(150)
    const allow = {
      emails: ['kelvin@corp.example', 'a@corp.example', 'a@localhost', 'a@1.2.3.4'],
      emailDomains: ['corp.example', 'evil', 'corp', 'localhost', '1.2.3.4'],
    }
    await checkFamily('B6', cases, (email) => !isAllowed(allow, withEmail(email)))
  })

  it('A28: subjects and groups with separators stay what they are', () => {
    const odd = { ...person, provider: 'a', subject: 'b:c', belonging: { groups: ['x,y'] } }
    expect(isAllowed({ users: ['a:b:c'] }, odd)).toBe(true)
    expect(isAllowed({ users: ['a:b'] }, odd)).toBe(false)
    expect(isAllowed({ groups: ['x'] }, odd)).toBe(false)
  })
})

describe('judgeAllowed, when everything is known', () => {
  it('I7: who matches no list is out, and says so', () => {
    for (const allow of [
      undefined,
      {},
      { groups: ['x'], roles: ['x'], entraTenants: ['x'] },
      { githubOrganizations: ['x'], githubTeams: ['x/y'] },
      { groups: ['x'], githubTeams: ['x/y'] },
    ])
      expect(judgeAllowed(allow, person), JSON.stringify(allow)).toBe('out')
  })
})

describe('judgeAllowed, when something is not known', () => {
  const unknown: PersonFacts = { ...person, belonging: 'unknown', memberships: 'unknown' }

  it('PRV-22, I7: what nobody knows now is neither a yes nor a no', () => {
    for (const allow of [
      { groups: ['corp/admins'] },
      { roles: ['x'] },
      { entraTenants: [TENANT_ID] },
      { githubOrganizations: ['acme'] },
      { githubTeams: ['acme/reviewers'], emails: ['x@y.zz'] },
    ]) {
      expect(judgeAllowed(allow, unknown), JSON.stringify(allow)).toBe('unknown')
    }
  })

  it('PRV-22: what is known admits by itself, and an unknown fact admits nobody to another rule', () => {
    expect(judgeAllowed({ users: ['github:42'], groups: ['x'] }, unknown)).toBe('in')
    expect(judgeAllowed({ emailDomains: ['corp.example'], githubTeams: ['a/b'] }, unknown)).toBe(
      'in',
    )
    expect(judgeAllowed({ emails: ['x@y.zz'] }, unknown)).toBe('out')
    const isAtOther: PersonFacts = { ...unknown, memberships: 'none' }
    expect(judgeAllowed({ githubOrganizations: ['acme'] }, isAtOther)).toBe('out')
  })

  it('PRV-22: both rules must say yes; one no is enough', () => {
    expect(both('in', 'in')).toBe('in')
    for (const other of ['in', 'out', 'unknown'] as const) {
      expect([both('out', other), both(other, 'out')]).toEqual(['out', 'out'])
    }
    expect([both('in', 'unknown'), both('unknown', 'in')]).toEqual(['unknown', 'unknown'])
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
