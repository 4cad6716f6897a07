import { describe, expect, it } from 'vitest'
import { PRESETS } from '../connectors/client/presets.ts'
import { ConfigError } from '../errors.ts'
import { parseConfig } from './parse.ts'

const SECRET = 'connector-secret-canary-0123456789'
const URL_OF_NOTES = 'https://notes.example/mcp'

function parse(connector: object, environment: Record<string, string> = {}) {
  const { connectors } = parseConfig({ connectors: { notes: connector } }, { environment })
  const [first] = connectors
  if (first === undefined) throw new Error('no connector')
  return first
}

function refusal(connector: object, environment: Record<string, string> = {}): string {
  try {
    parse(connector, environment)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'accepted'
}

describe('a connector with oauth', () => {
  it('needs nothing but its url, and has the defaults of its table', () => {
    expect(parse({ url: URL_OF_NOTES, auth: 'oauth' }).oauth).toEqual({
      omitResource: false,
      strictResource: false,
      legacyDiscovery: true,
      followMetadataRedirects: false,
    })
    expect(parse({ url: URL_OF_NOTES }).oauth).toBeUndefined()
  })

  it('takes every field as it was written', () => {
    const endpoints = {
      authorization: 'https://as.example/authorize',
      token: 'https://as.example/token',
      registration: 'https://as.example/register',
      revocation: 'https://as.example/revoke',
    }
    const { oauth } = parse({
      url: URL_OF_NOTES,
      auth: 'oauth',
      client: { clientId: 'us', clientSecret: SECRET, authMethod: 'client_secret_post' },
      requestedScopes: ['notes:read', 'notes:write', 'notes:read'],
      pinnedIssuer: 'https://as.example/tenant/',
      endpoints,
      omitResource: true,
      strictResource: true,
      legacyDiscovery: false,
      followMetadataRedirects: true,
    })
    expect(oauth).toMatchObject({
      client: { clientId: 'us', authMethod: 'client_secret_post' },
      requestedScopes: ['notes:read', 'notes:write'],
      // Compared byte for byte: the slash at its end stays.
      pinnedIssuer: 'https://as.example/tenant/',
      endpoints,
      omitResource: true,
      strictResource: true,
      legacyDiscovery: false,
      followMetadataRedirects: true,
    })
    expect(oauth?.client?.clientSecret?.reveal()).toBe(SECRET)
    expect(JSON.stringify(oauth)).not.toContain(SECRET)
  })

  it('takes its credentials from the environment before the file', () => {
    const { oauth } = parse(
      { url: URL_OF_NOTES, auth: 'oauth', client: { clientId: 'file', clientSecret: 'file' } },
      {
        POSTERN_CONNECTOR_NOTES_CLIENT_ID: 'environment',
        POSTERN_CONNECTOR_NOTES_CLIENT_SECRET: SECRET,
      },
    )
    expect(oauth?.client?.clientId).toBe('environment')
    expect(oauth?.client?.clientSecret?.reveal()).toBe(SECRET)
  })

  it('takes its secret from a file that a variable names', () => {
    const { connectors } = parseConfig(
      { connectors: { 'my-notes': { url: URL_OF_NOTES, auth: 'oauth' } } },
      {
        environment: {
          POSTERN_CONNECTOR_MY_NOTES_CLIENT_ID: 'us',
          POSTERN_CONNECTOR_MY_NOTES_CLIENT_SECRET_FILE: '/run/secrets/notes',
        },
        readFile: (path) => (path === '/run/secrets/notes' ? `${SECRET}\n` : ''),
      },
    )
    expect(connectors[0]?.oauth?.client?.clientSecret?.reveal()).toBe(SECRET)
  })

  it('takes plain http on a loopback host and at the connector itself only', () => {
    const endpoints = (origin: string) => ({
      endpoints: { authorization: `${origin}/authorize`, token: `${origin}/token` },
    })
    const local = { url: 'http://10.0.0.5/mcp', auth: 'oauth' }
    expect(parse({ ...local, ...endpoints('http://127.0.0.1:9') }).oauth?.endpoints).toBeDefined()
    expect(parse({ ...local, ...endpoints('http://10.0.0.5') }).oauth?.endpoints).toBeDefined()
    expect(refusal({ ...local, ...endpoints('http://10.0.0.6') })).toContain('must be an https URL')
  })

  const oauth = { url: URL_OF_NOTES, auth: 'oauth' }
  const machine = { url: URL_OF_NOTES, auth: 'client_credentials' }
  const endpoints = { authorization: 'https://a.example/a', token: 'https://a.example/t' }
  it.each<[object, string]>([
    [{ ...oauth, auth: 'oath' }, 'must be one of none, identity, header, oauth'],
    [{ ...oauth, pinedIssuer: 'https://a.example' }, 'Did you mean connectors.notes.pinnedIssuer?'],
    [{ ...oauth, client: { clientid: 'x' } }, 'Did you mean connectors.notes.client.clientId?'],
    [{ ...oauth, client: {} }, 'connector notes has no clientId.'],
    [{ ...oauth, client: { clientId: '' } }, 'text that is not empty'],
    [{ ...oauth, client: { clientId: 'é' } }, 'printable ASCII'],
    [{ ...oauth, client: { clientSecret: SECRET } }, 'connector notes has no clientId.'],
    [
      { ...oauth, client: { clientId: 'x', authMethod: 'tls_client_auth' } },
      'must be one of none, client_secret_basic',
    ],
    [
      { ...oauth, client: { clientId: 'x', authMethod: 'client_secret_basic' } },
      'connector notes has no clientSecret.',
    ],
    [
      { ...oauth, client: { clientId: 'x', clientSecret: SECRET, authMethod: 'private_key_jwt' } },
      'authMethod private_key_jwt sends none',
    ],
    [
      { ...oauth, client: { clientId: 'x', clientSecret: SECRET, authMethod: 'none' } },
      'authMethod none sends none',
    ],
    [{ ...oauth, endpoints: { token: 'https://a.example/t' } }, 'endpoints.authorization must be'],
    [
      { ...oauth, endpoints: { ...endpoints, authorisation: 'https://a.example/' } },
      'Did you mean connectors.notes.endpoints.authorization?',
    ],
    [
      { ...oauth, endpoints: { ...endpoints, token: 'javascript:alert(1)' } },
      'an absolute http or https URL',
    ],
    [
      { ...oauth, endpoints: { ...endpoints, token: `https://u:${SECRET}@a.example/` } },
      'without user name or password',
    ],
    [{ ...oauth, pinnedIssuer: 'http://as.example' }, 'must be an https URL'],
    [{ ...oauth, pinnedIssuer: 'https://as.example/#x' }, 'without a fragment'],
    [{ ...oauth, requestedScopes: ['a b'] }, 'requestedScopes[0] must be a scope name'],
    [{ ...oauth, omitResource: 'perhaps' }, 'omitResource must be true or false'],
    [machine, 'connector notes has no clientId.'],
    [{ ...machine, client: { clientId: 'x' } }, 'connector notes has no clientSecret.'],
    [{ ...machine, client: { clientId: 'x', authMethod: 'none' } }, 'another one than none'],
    [{ url: URL_OF_NOTES, client: { clientId: 'x' } }, "only auth: 'oauth'"],
    [{ url: URL_OF_NOTES, auth: 'header', omitResource: true }, "only auth: 'oauth'"],
    [{ auth: 'oauth' }, 'connectors.notes.url must be given'],
    [{ preset: 'linaer' }, 'Did you mean linear?'],
    [{ preset: 'linear', url: URL_OF_NOTES }, 'connectors.notes.url must be left out'],
    [{ preset: 'slack' }, 'connector notes has no clientId.'],
  ])('refuses %j', (connector, message) => {
    const refused = refusal(connector)
    expect(refused).toContain(message)
    expect(refused).toMatch(/^ERR_[A-Z_]+: [^\n]+\n[^\n]+$/)
    expect(refused).not.toContain(SECRET)
  })

  it('says where to register, and with which callback', () => {
    expect(refusal({ preset: 'slack' })).toBe(
      'ERR_CONFIG_CONNECTOR_CLIENT: connector notes has no clientId.\n' +
        'Set POSTERN_CONNECTOR_NOTES_CLIENT_ID and POSTERN_CONNECTOR_NOTES_CLIENT_SECRET. ' +
        'Register a client at https://api.slack.com/apps with callback http://127.0.0.1:8414/connect/notes/callback',
    )
  })
})

describe('a preset', () => {
  it.each(PRESETS)('$name is a connector by its name alone, or with its client', (preset) => {
    const client = { clientId: 'us', clientSecret: SECRET }
    const byHand = preset.registration === 'by-hand'
    const connector = parse({ preset: preset.name, ...(byHand ? { client } : {}) })
    expect(connector).toMatchObject({
      url: new URL(preset.url),
      auth: 'oauth',
      preset: preset.name,
      title: preset.title,
    })
    expect(connector.oauth?.pinnedIssuer).toBe(preset.pinnedIssuer)
    expect(connector.oauth?.endpoints).toEqual(preset.endpoints)
    expect(connector.oauth?.omitResource).toBe(preset.omitResource === true)
    expect(connector.oauth?.client?.authMethod).toBe(preset.authMethod)
  })

  it('yields to what the configuration says', () => {
    const connector = parse({
      preset: 'atlassian',
      title: 'Our Jira',
      pinnedIssuer: 'https://cf.mcp.atlassian.com',
      omitResource: true,
    })
    expect(connector.title).toBe('Our Jira')
    expect(connector.oauth?.pinnedIssuer).toBe('https://cf.mcp.atlassian.com')
    expect(connector.oauth?.omitResource).toBe(true)
  })

  it('may be reached with a fixed secret instead', () => {
    const connector = parse({
      preset: 'github',
      auth: 'header',
      header: { value: 'Bearer personal' },
    })
    expect(connector.auth).toBe('header')
    expect(connector.oauth).toBeUndefined()
  })
})
