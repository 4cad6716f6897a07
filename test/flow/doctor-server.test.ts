/**
 * `doctor` against broken MCP servers: what they answer without a token, and their resource metadata.
 * Each one is a real server.
 * @see requirements DSC-01 to DSC-05, DSC-13, PR-06, PR-07, NET-02, NET-03
 */
import { createServer } from 'node:http'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startFaults } from '../../demo/doubles/faults.ts'
import { createTestCa } from '../kit/ca.ts'
import { freePort } from '../kit/postern.ts'
import { examine, startPatient } from './doctor-house.ts'

const JSON_TYPE = { 'content-type': 'application/json' }

describe('doctor: a healthy server', () => {
  it('DSC-01: says OK, with numbered steps and their times', async () => {
    const remote = await startPatient()
    const { lines, code, report } = await examine(remote.url)
    expect(lines[0]).toBe(
      `OK (${remote.url}): a client finds its authorization server and can register there`,
    )
    expect(lines.slice(1).join('\n')).toMatch(
      /^ {2}1 server answers 401 with resource_metadata, 2 its document {3}ok {3}\d+ ms\n {2}3 authorization server metadata, 4 endpoints +ok {3}\d+ ms\n {2}5 registration \(dynamic\), 6 browsers +ok {3}\d+ ms$/,
    )
    expect([code, report.notes]).toEqual([0, []])
  })

  it('CLI-05: leaves no client behind, and says so when it was told to register one', async () => {
    const remote = await startPatient()
    await examine(remote.url)
    expect([remote.registrations(), remote.tokensOf('ada')]).toEqual([0, []])
    const { code, report } = await examine(remote.url, { register: true })
    expect([code, remote.registrations()]).toEqual([0, 1])
    expect(report.notes.join()).toContain('a client "postern doctor" was left behind')
  })

  it('DSC-11: a server of 2025-03-26 works, and is told to be one', async () => {
    const remote = await startPatient({ settings: { resourceMetadata: 'none' } })
    const { code, lines } = await examine(remote.url)
    expect(code).toBe(0)
    expect(lines[0]).toMatch(/^OK .*2025-03-26/)
    expect(lines.join('\n')).toContain('note it follows the rules of 2025-03-26')
  })

  it('DSC-11: endpoints that are guessed by the rules of 2025-03-26 are told, and tried', async () => {
    const remote = await startPatient({ settings: { resourceMetadata: 'none' } })
    remote.answerWith('GET /.well-known/oauth-authorization-server', { status: 404 })
    const { code, lines } = await examine(remote.url)
    expect(code).toBe(0)
    expect(lines.join('\n')).toContain('3 endpoints at its host')
    expect(lines.join('\n')).toContain('its endpoints are guessed by the rules of 2025-03-26')
    remote.answerWith('POST /token', { status: 404 })
    const gone = await examine(remote.url)
    expect(gone.verdict).toMatchObject({ party: 'server', code: 'ERR_DISCOVERY_ABSENT' })
    const connector = { auth: 'oauth', legacyDiscovery: false }
    expect((await examine(remote.url, { connector })).code).toBe(1)
  })

  it('DSC-14: tells that its documents forbid caching', async () => {
    const remote = await startPatient({ settings: { cacheControl: 'no-store' } })
    const { code, lines } = await examine(remote.url)
    expect(code).toBe(0)
    expect(lines.join('\n')).toMatch(/note \S+oauth-protected-resource\/mcp forbids caching/)
  })
})

describe('doctor: the answer without a token', () => {
  it('PR-07: answers initialize without a token', async () => {
    const remote = await startPatient()
    remote.answerWith('POST /mcp', { status: 200, headers: JSON_TYPE, body: '{"result":{}}' })
    const { lines, verdict, code } = await examine(remote.url)
    expect(lines[0]).toBe(
      `FAULT at the server (${remote.origin}): ${remote.url} answers without a token (200 to initialize): who reaches it skips sign-in`,
    )
    expect(verdict).toMatchObject({ requirement: 'PR-07, RFC 9728 section 5.1' })
    // The rest of the chain is looked at all the same.
    expect(lines.join('\n')).toContain('authorization server metadata')
    expect(code).toBe(1)
  })

  it.each([403, 404, 500])('PR-07: answers %i instead of 401', async (status) => {
    const remote = await startPatient()
    remote.answerWith('POST /mcp', { status })
    const { verdict, lines, code } = await examine(remote.url)
    expect(lines[0]).toContain('FAULT at the server')
    expect(verdict?.text).toContain(`answers ${status} instead of 401`)
    expect(verdict?.fix).toContain('401 with WWW-Authenticate')
    expect(code).toBe(1)
  })

  it('PR-07: a 401 without WWW-Authenticate', async () => {
    const remote = await startPatient()
    remote.answerWith('POST /mcp', { status: 401 })
    const { verdict, code } = await examine(remote.url)
    expect(verdict).toMatchObject({ party: 'server', weight: 'limits' })
    expect(verdict?.text).toContain('401 without WWW-Authenticate')
    expect(code).toBe(1)
  })

  it('DSC-01: the challenge names metadata at another origin, which is not asked', async () => {
    const [remote, other] = [await startPatient(), await startPatient()]
    const named = `${other.origin}/.well-known/oauth-protected-resource/mcp`
    const challenge = `Bearer resource_metadata="${named}"`
    remote.answerWith('POST /mcp', { status: 401, headers: { 'www-authenticate': challenge } })
    const { verdict, lines, code } = await examine(remote.url)
    expect(lines[0]).toContain(`FAULT at the server (${remote.origin})`)
    expect(verdict?.text).toContain(`names metadata at ${other.origin}`)
    expect(verdict?.here).toBe(`postern doctor --origin ${other.origin}`)
    expect([code, other.total()]).toEqual([1, 0])
  })

  it('DSC-01: the challenge names a document, and nothing is there', async () => {
    const remote = await startPatient()
    const challenge = `Bearer resource_metadata="${remote.origin}/nowhere"`
    remote.answerWith('POST /mcp', { status: 401, headers: { 'www-authenticate': challenge } })
    const { verdict, code } = await examine(remote.url)
    expect(verdict?.text).toContain('/nowhere, and nothing is there')
    expect(code).toBe(1)
  })

  it('NET-03: redirects to another origin, which is not followed', async () => {
    const [remote, other] = [await startPatient(), await startPatient()]
    remote.answerWith('POST /mcp', { status: 307, headers: { location: other.url } })
    const { lines, verdict, code } = await examine(remote.url)
    expect(lines[0]).toContain(`FAULT at the server (${remote.origin})`)
    expect(verdict?.text).toContain(`another origin, ${other.url}`)
    expect([code, other.total()]).toEqual([1, 0])
  })

  it('NET-03: redirects to its own URL with a slash: the URL is wrong here', async () => {
    const remote = await startPatient()
    remote.answerWith('POST /mcp', { status: 307, headers: { location: '/mcp/' } })
    const { lines, verdict } = await examine(remote.url)
    expect(lines[0]).toContain('FAULT here: ')
    expect(verdict?.fix).toBe(`use ${remote.url}/`)
  })
})

describe('doctor: nobody answers', () => {
  it('DSC-13: a black hole', async () => {
    const remote = await startPatient()
    remote.hang()
    const { lines, code } = await examine(remote.url, { timeoutMs: 150 })
    expect(lines[0]).toBe(
      `FAULT at the server (${remote.origin}): it did not answer in time (150 ms)`,
    )
    expect(code).toBe(3)
  })

  it('DSC-16: a refused connection', async () => {
    const { lines, code } = await examine(`http://127.0.0.1:${await freePort()}/mcp`)
    expect(lines[0]).toMatch(/^FAULT at the server .*: it does not answer \(refused\)$/)
    expect(lines.at(-1)).toBe('  fix  start the server, or correct the URL')
    expect(code).toBe(3)
  })

  it('NET-01: a certificate that nobody trusts is its fault, not silence', async () => {
    const certificate = createTestCa().issue(['127.0.0.1'], { selfSigned: true })
    const server = await startFaults({
      handler: (_, response) => void response.end(),
      isFrontChannel: () => false,
      tls: certificate,
    })
    onTestFinished(() => server.close())
    const { lines, verdict, code } = await examine(`${server.origin}/mcp`)
    expect(lines[0]).toMatch(/^FAULT at the server .*no valid certificate/)
    expect(verdict?.here).toContain('egress.extraCaFile')
    expect(code).toBe(1)
  })
})

describe('doctor: resource metadata', () => {
  it('DSC-01: none at all, and the authorization server is elsewhere', async () => {
    const remote = await startPatient({ separate: true, settings: { resourceMetadata: 'none' } })
    const { lines, verdict, code } = await examine(remote.url)
    expect(lines[0]).toContain(`FAULT at the server (${remote.origin})`)
    expect(verdict?.text).toContain('publishes no protected resource metadata')
    expect(verdict?.fix).toContain('/.well-known/oauth-protected-resource/mcp')
    expect(verdict?.here).toContain('connectors.notes.endpoints')
    expect(code).toBe(1)
  })

  it('DSC-01: at the root alone for a server with a path', async () => {
    const settings = { resourceMetadata: 'root', challenge: false } as const
    const remote = await startPatient({ settings })
    const { lines, verdict, code } = await examine(remote.url)
    expect(lines[0]).toContain(`FAULT at the server (${remote.origin})`)
    expect(verdict).toMatchObject({
      weight: 'limits',
      requirement: 'DSC-01, RFC 9728 section 3.1',
    })
    expect(verdict?.text).toContain('at the root alone')
    expect(lines.join('\n')).toContain('note this house gets in all the same')
    expect(code).toBe(1)
  })

  it('DSC-03: speaks of another resource', async () => {
    const remote = await startPatient()
    remote.settings.editResource = (document) => ({
      ...document,
      resource: `${remote.origin}/other`,
    })
    const { lines, verdict, code } = await examine(remote.url)
    expect(lines[0]).toContain(`FAULT at the server (${remote.origin})`)
    expect(verdict).toMatchObject({
      requirement: 'DSC-03, RFC 9728 section 3.3',
      fix: `publish "resource": "${remote.url}"`,
    })
    expect(verdict?.text).toContain(`${remote.origin}/other`)
    expect(code).toBe(1)
  })

  it('DSC-04: a resource that we take and strict clients do not is a note', async () => {
    const remote = await startPatient()
    remote.settings.editResource = (document) => ({ ...document, resource: remote.origin })
    const { code, report } = await examine(remote.url)
    expect(code).toBe(0)
    expect(report.notes.join()).toContain('strict clients refuse it (DSC-04)')
    const connector = { auth: 'oauth', strictResource: true }
    expect((await examine(remote.url, { connector })).verdict?.requirement).toContain('DSC-03')
  })

  it('NET-03: metadata behind a redirect, and the setting that follows it', async () => {
    const remote = await startPatient()
    const location = `${remote.origin}/moved`
    remote.answerWith('GET /.well-known/oauth-authorization-server', {
      status: 302,
      headers: { location },
    })
    const { verdict, code } = await examine(remote.url)
    expect(verdict).toMatchObject({ party: 'authorization-server', requirement: 'NET-03' })
    expect(verdict?.here).toBe('connectors.notes.followMetadataRedirects = true')
    expect(code).toBe(1)
    remote.answerWith('GET /moved', { status: 404 })
    const connector = { auth: 'oauth', followMetadataRedirects: true }
    expect((await examine(remote.url, { connector })).verdict?.code).toBe('ERR_DISCOVERY_ABSENT')
  })

  it('DSC-05: names no authorization server', async () => {
    const remote = await startPatient()
    remote.settings.editResource = ({ authorization_servers: _, ...document }) => document
    const { lines, verdict, code } = await examine(remote.url)
    expect(lines[0]).toContain(`FAULT at the server (${remote.origin})`)
    expect(verdict?.text).toContain('names no authorization server')
    expect(verdict?.fix).toContain('"authorization_servers"')
    expect(code).toBe(1)
  })

  it('PR-06: cannot be read by a client in a browser; a connector of ours does not mind', async () => {
    const remote = await startPatient({ settings: { cors: false } })
    const { lines, verdict, code } = await examine(remote.url)
    expect(lines[0]).toContain(`FAULT at the server (${remote.origin}): clients in a browser`)
    expect(verdict?.requirement).toBe('PR-06, RFC 9728 section 3.2')
    expect(lines.join('\n')).toContain('  also at the authorization server')
    expect(code).toBe(1)
    const connected = await examine(remote.url, { connector: { auth: 'oauth' } })
    expect(connected.code).toBe(0)
  })

  it('O11: what a hostile server says reaches no terminal as it is', async () => {
    const forged = '\u001b[31m\u0007\u202e\r\nOK all is well'
    const hostile = createServer((request, response) => {
      if (request.method === 'POST') {
        const location = `/\u00e9${'x'.repeat(5_000)}`
        response.writeHead(307, { location: encodeURI(location) }).end(forged)
      } else response.writeHead(200, JSON_TYPE).end(JSON.stringify({ resource: forged }))
    })
    await new Promise<void>((resolve) => hostile.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void hostile.close())
    const address = hostile.address()
    const port = typeof address === 'object' ? address?.port : 0
    const redirected = await examine(`http://127.0.0.1:${port}/mcp`)
    const remote = await startPatient()
    const worse = { issuer: `${remote.origin}/${forged}`, resource: forged, code: [forged] }
    remote.settings.editServer = (document) => ({ ...document, ...worse })
    const issuer = await examine(remote.url)
    remote.settings.editResource = (document) => ({ ...document, ...worse })
    const resource = await examine(remote.url)
    for (const { lines, code } of [redirected, issuer, resource]) {
      expect(code).toBe(1)
      expect(lines.join('')).not.toMatch(/[^\x20-\x7e]/)
      expect(lines.filter((line) => line.startsWith('OK'))).toEqual([])
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(700)
    }
  })
})
