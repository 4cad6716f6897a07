/** What every provider promises, whoever it is: the same suite for each adapter over its double. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { PROVIDER_TYPES } from '../../src/providers/index.ts'
import { gitHubAppHouse, gitHubHouse, openIdHouse } from './provider-house.ts'
import { describeProvider } from './provider-suite.ts'

describe('every provider type', () => {
  it.each(PROVIDER_TYPES)(
    'PRV-02: $type states its facts, each with the section it follows',
    ({ facts }) => {
      for (const [name, fact] of Object.entries(facts)) expect(fact.length, name).toBeGreaterThan(3)
      expect(Object.keys(facts)).toHaveLength(13)
    },
  )

  it.each(PROVIDER_TYPES)(
    'PRV-02: docs/providers.md says the same of $type',
    ({ type, facts, options }) => {
      const page = readFileSync(new URL('../../docs/providers.md', import.meta.url), 'utf8')
      for (const fact of Object.values(facts)) expect(page).toContain(` ${fact} |`)
      for (const { name, sentence } of options) {
        expect(page).toContain(`| \`${type}\` | \`${name}\` |`)
        expect(page).toContain(`| ${sentence} |`)
      }
    },
  )
})

describeProvider({
  name: 'GitHub',
  start: () => gitHubHouse({ expiringTokens: true }),
  subject: '1001',
})
describeProvider({ name: 'GitHub App', start: () => gitHubAppHouse(), subject: '1001' })
describeProvider({ name: 'OpenID Connect', start: () => openIdHouse(), subject: 'ada' })
describeProvider({
  name: 'OpenID Connect by introspection',
  start: () => openIdHouse({ options: { check: 'introspection' } }),
  subject: 'ada',
})
