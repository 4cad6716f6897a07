/**
 * `doctor` against broken authorization servers, each a real one, and the form of what it prints.
 * @see api.md section 5, requirements DSC-05 to DSC-09, CLI-01, NET-02, NET-08
 */
import { describe, expect, it } from 'vitest'
import { freePort } from '../kit/postern.ts'
import { examine, startPatient } from './doctor-house.ts'

type Json = Readonly<Record<string, unknown>>

/** A healthy set-up whose server metadata is edited. */
async function patientWith(edit: (document: Json) => Json) {
  const remote = await startPatient()
  remote.settings.editServer = edit
  return remote
}

describe('doctor: authorization server metadata', () => {
  it('DSC-07: an issuer with a slash, in exactly the form of the sample', async () => {
    const remote = await patientWith((document) => ({
      ...document,
      issuer: `${document['issuer']}/`,
    }))
    const { lines, code } = await examine(remote.url)
    expect(lines.map((line) => line.replace(/\d+ ms$/, '79 ms'))).toEqual([
      `FAULT at the authorization server (${remote.issuer}): its metadata says issuer "${remote.issuer}/" with a slash`,
      '  1 server answers 401 with resource_metadata, 2 its document   ok   79 ms',
      '  3 authorization server metadata                               FAULT   DSC-07, RFC 8414 section 3.3',
      `  fix  publish "issuer": "${remote.issuer}"   or here: connectors.notes.pinnedIssuer = "${remote.issuer}/"`,
    ])
    expect(code).toBe(1)
  })

  it('DSC-08: the setting that it names works around it', async () => {
    const remote = await patientWith((document) => ({
      ...document,
      issuer: `${document['issuer']}/`,
    }))
    const connector = { auth: 'oauth', pinnedIssuer: `${remote.issuer}/` }
    expect((await examine(remote.url, { connector })).lines[0]).toMatch(/^OK /)
  })

  it('DSC-07: the issuer of another host', async () => {
    const remote = await patientWith((document) => ({
      ...document,
      issuer: 'https://other.example',
    }))
    const { lines, verdict, code } = await examine(remote.url)
    expect(lines[0]).toContain(`FAULT at the authorization server (${remote.issuer})`)
    expect(verdict?.text).toContain(
      `says issuer "https://other.example", expected "${remote.issuer}"`,
    )
    expect(code).toBe(1)
  })

  it('DSC-06: none at any of its forms, asked in the order of the standard', async () => {
    const remote = await startPatient({ issuerPath: '/tenant' })
    const forms = [
      'GET /.well-known/oauth-authorization-server/tenant',
      'GET /.well-known/openid-configuration/tenant',
      'GET /tenant/.well-known/openid-configuration',
    ]
    for (const form of forms) remote.answerWith(form, { status: 404 })
    const { lines, verdict, code } = await examine(remote.url)
    expect(lines[0]).toContain('FAULT at the authorization server')
    expect(verdict?.text).toContain('publishes no authorization server metadata')
    expect(verdict?.fix).toContain('/.well-known/oauth-authorization-server/tenant')
    const asked = Object.keys(remote.exchanges()).filter((name) => name.includes('well-known'))
    expect(asked.slice(1)).toEqual(forms)
    expect(code).toBe(1)
  })

  it('DSC-05: two authorization servers, and the first is dead', async () => {
    const remote = await startPatient()
    const dead = `http://127.0.0.1:${await freePort()}`
    remote.settings.editResource = (document) => ({
      ...document,
      authorization_servers: [dead, remote.issuer],
    })
    const { lines, code } = await examine(remote.url, { origins: [dead] })
    expect(lines[0]).toBe(
      `FAULT at the authorization server (${dead}): it does not answer (refused)`,
    )
    expect(lines.at(-1)).toContain('start it, or name another in authorization_servers')
    expect(code).toBe(3)
  })

  it('DSC-05: two authorization servers, and the second is dead: clients that choose it fail', async () => {
    const remote = await startPatient()
    const dead = `http://127.0.0.1:${await freePort()}`
    remote.settings.editResource = (document) => ({
      ...document,
      authorization_servers: [remote.issuer, dead],
    })
    const { lines, verdict, code } = await examine(remote.url, { origins: [dead] })
    expect(verdict).toMatchObject({ origin: dead, weight: 'limits' })
    expect(lines.join('\n')).toMatch(/4 another authorization server +FAULT/)
    expect(code).toBe(1)
  })

  it('DSC-09: leaves the PKCE member out', async () => {
    const remote = await patientWith(
      ({ code_challenge_methods_supported: _, ...document }) => document,
    )
    const { lines, verdict, code } = await examine(remote.url)
    expect(lines[0]).toContain(`FAULT at the authorization server (${remote.issuer})`)
    expect(verdict?.fix).toContain('"code_challenge_methods_supported": ["S256"]')
    expect(verdict?.here).toContain('connectors.notes.endpoints')
    expect(code).toBe(1)
  })

  it('DSC-09: takes plain and no S256, and nothing here works around that', async () => {
    const remote = await patientWith((document) => ({
      ...document,
      code_challenge_methods_supported: ['plain'],
    }))
    const { verdict, code } = await examine(remote.url)
    expect(verdict).toMatchObject({
      party: 'authorization-server',
      requirement: 'DSC-09, RFC 7636',
    })
    expect(verdict?.here).toBeUndefined()
    expect(code).toBe(1)
  })

  it.each([
    'http://auth.example/authorize',
    'javascript:alert(1)',
    'https://a:b@auth.example/authorize',
  ])(
    'NET-08 O11: an authorization endpoint that no browser may be sent to: %s',
    async (endpoint) => {
      const remote = await patientWith((document) => ({
        ...document,
        authorization_endpoint: endpoint,
      }))
      const { lines, verdict, code } = await examine(remote.url)
      expect(lines[0]).toContain(`FAULT at the authorization server (${remote.issuer})`)
      expect(verdict?.text).toContain('"authorization_endpoint" that is not an https URL')
      expect(code).toBe(1)
    },
  )

  it('NET-04: metadata that is a page', async () => {
    const remote = await startPatient()
    const page = { status: 200, headers: { 'content-type': 'text/html' }, body: '<h1>hello' }
    remote.answerWith('GET /.well-known/oauth-authorization-server', page)
    const { lines, verdict, code } = await examine(remote.url)
    expect(lines[0]).toMatch(/FAULT at the authorization server .*: it is a page$/)
    expect(verdict?.fix).toContain('as application/json')
    expect(code).toBe(1)
  })

  it('NET-02: another private origin that a document names is not asked', async () => {
    const remote = await startPatient({ separate: true })
    const { lines, verdict, code } = await examine(remote.url)
    const { origin } = remote.authorizationServer
    expect(lines[0]).toContain(`FAULT at the authorization server (${origin})`)
    expect(verdict?.here).toBe(`postern doctor --origin ${origin}`)
    expect([code, remote.authorizationServer.total()]).toEqual([1, 0])
    expect((await examine(remote.url, { origins: [origin] })).code).toBe(0)
  })
})

describe('doctor: endpoints and doors', () => {
  it('O3: a token endpoint at another origin, which gets nothing', async () => {
    const other = await startPatient()
    const remote = await patientWith((document) => ({
      ...document,
      token_endpoint: `${other.origin}/token`,
    }))
    const { lines, verdict, code } = await examine(remote.url, { origins: [other.origin] })
    expect(lines[0]).toContain(`FAULT at the authorization server (${remote.issuer})`)
    expect(verdict?.text).toContain(`its token endpoint is at ${other.origin}`)
    expect(verdict?.here).toBe(`postern connectors approve notes ${other.origin}`)
    expect([code, other.total()]).toEqual([1, 0])
  })

  it.each([
    ['token_endpoint', 'POST /token', 404],
    ['authorization_endpoint', 'GET /authorize', 404],
    ['token_endpoint', 'POST /token', 500],
  ])('DSC-09: the %s is not there (%s: %i)', async (member, endpoint, status) => {
    const remote = await startPatient()
    remote.answerWith(endpoint, { status })
    const { verdict, code } = await examine(remote.url)
    expect(verdict).toMatchObject({ party: 'authorization-server', weight: 'blocks' })
    expect(verdict?.text).toContain(`its ${member} `)
    expect(code).toBe(1)
  })

  it('CLI-01: registration is closed, and client metadata documents are not taken', async () => {
    const remote = await startPatient({ settings: { registration: false } })
    const { lines, verdict, code } = await examine(remote.url)
    expect(lines[0]).toBe(
      `FAULT here: ${remote.issuer} registers nobody by itself, and takes no client metadata documents: a client has to be registered by hand`,
    )
    expect(verdict?.fix).toContain('POSTERN_CONNECTOR_NOTES_CLIENT_ID')
    expect(verdict?.fix).toContain('/connect/notes/callback')
    expect(code).toBe(1)
    const client = { clientId: 'ours', clientSecret: 'made-by-hand' }
    const connected = await examine(remote.url, { connector: { auth: 'oauth', client } })
    expect(connected.lines.join('\n')).toContain('registration (by hand)')
    expect(connected.code).toBe(0)
  })

  it('CLI-01: registration wants a token of its own; metadata documents open the door', async () => {
    const remote = await startPatient()
    remote.answerWith('POST /register', { status: 401 })
    expect((await examine(remote.url)).verdict?.text).toContain('registers nobody without a token')
    remote.settings.metadataDocuments = true
    const { lines, code } = await examine(remote.url)
    expect(lines.join('\n')).toContain('registration (metadata documents)')
    expect(code).toBe(0)
  })

  it('CLI-05: a registration endpoint that is not there', async () => {
    const remote = await startPatient()
    remote.answerWith('POST /register', { status: 404 })
    const { verdict, code } = await examine(remote.url)
    expect(verdict).toMatchObject({
      party: 'authorization-server',
      code: 'ERR_CONNECTOR_REGISTRATION',
    })
    expect(code).toBe(1)
  })
})
