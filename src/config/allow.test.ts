import { describe, expect, it } from 'vitest'
import { ConfigError } from '../errors.ts'
import { parseConfig } from './parse.ts'

const CREDENTIALS = { clientId: 'id', clientSecret: 'secret' }
const GITHUB = { type: 'github', ...CREDENTIALS }
const OTHER_GITHUB = {
  ...GITHUB,
  id: 'ghe',
  url: 'https://ghe.example',
  apiUrl: 'https://ghe.example',
}
const OPENID = { type: 'oidc', issuer: 'https://id.example', ...CREDENTIALS }
const TENANT = '7F1C0000-0000-4000-8000-00000000000A'

function parse(providers: readonly object[], allow: unknown, connectorAllow?: unknown) {
  const connector = { url: 'http://127.0.0.1:8000/mcp' }
  return parseConfig(
    {
      providers,
      ...(allow === undefined ? {} : { allow }),
      connectors: {
        notes: connectorAllow === undefined ? connector : { ...connector, allow: connectorAllow },
      },
    },
    { environment: {} },
  )
}

function refusal(...given: Parameters<typeof parse>): string {
  try {
    parse(...given)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'started'
}

describe('allow, at start', () => {
  it('PRV-22: takes every kind, names of GitHub and tenants in lower case', () => {
    const { allow, connectors } = parse(
      [GITHUB, OPENID],
      { githubOrganizations: ['Acme'], emails: ['Ann@Corp.example'], groups: ['Admins'] },
      { githubTeams: ['Acme/Reviewers'], roles: ['Operator'], users: ['github:42'] },
    )
    expect(allow).toEqual({
      githubOrganizations: ['acme'],
      emails: ['ann@corp.example'],
      groups: ['Admins'],
    })
    expect(connectors[0]?.allow).toEqual({
      githubTeams: ['acme/reviewers'],
      roles: ['Operator'],
      users: ['github:42'],
    })
  })

  it.each<readonly [readonly object[], unknown, string]>([
    [[OPENID], { githubOrganizations: ['acme'] }, 'allow.githubOrganizations needs a provider'],
    [[OPENID], { githubTeams: ['acme/x'] }, 'allow.githubTeams needs a provider'],
    [[GITHUB], { entraTenants: [TENANT] }, 'allow.entraTenants needs a provider'],
    [[OPENID], { entraTenants: [TENANT] }, 'oidc cannot'],
    [[GITHUB], { groups: ['admins'] }, 'allow.groups needs a provider'],
    [[GITHUB], { roles: ['admin'] }, 'allow.roles needs a provider'],
    [[GITHUB, OTHER_GITHUB], { githubOrganizations: ['acme'] }, 'do not say which GitHub'],
    [
      [GITHUB],
      { githubOrganizations: Array.from({ length: 51 }, (_, index) => `org-${index}`) },
      '51 organizations and teams',
    ],
  ])('PRV-22: B20: refuses what nobody can answer by name: %j %j', (providers, allow, text) => {
    for (const message of [refusal(providers, allow), refusal(providers, 'anyone', allow)]) {
      expect(message).toContain('ERR_CONFIG_ALLOW_KIND')
      expect(message).toContain(text)
      expect(message.split('\n')).toHaveLength(2)
    }
  })

  it.each([
    { githubOrganizations: ['a b'] },
    { githubOrganizations: ['acme/team'] },
    { githubOrganizations: [''] },
    { githubOrganizations: ['../x'] },
    { githubTeams: ['acme'] },
    { githubTeams: ['acme/x/y'] },
    { githubTeams: ['acme/'] },
    { entraTenants: ['common'] },
    { entraTenants: ['organizations'] },
    { entraTenants: ['corp.onmicrosoft.com'] },
    { roles: [''] },
    { organisations: ['acme'] },
    { githubOrganizations: [] },
  ])('A28: B20: refuses %j', (allow) => {
    expect(refusal([GITHUB], allow)).toMatch(/^ERR_CONFIG_/)
  })
})
