/** `postern explain` on the database of a running house: what a token is, and each way in which it is refused. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { signInAsClient } from '../../demo/sign-in.ts'
import { createVisitor } from '../../demo/visitor.ts'
import { startCli } from '../kit/cli.ts'
import { openPlane, type Plane } from '../kit/plane.ts'

interface Told {
  readonly code: number | null
  readonly ok: boolean
  readonly form: string
  readonly ours: boolean
  readonly facts: Readonly<Record<string, string>>
  readonly problems: readonly { reason: string; problem: string; fix?: string; code?: string }[]
}

function configOf(plane: Plane) {
  return {
    issuer: plane.issuer,
    databaseUrl: `sqlite:${plane.databasePath}`,
    connectors: {
      notes: { url: 'http://127.0.0.1:9/mcp' },
      tasks: { url: 'http://127.0.0.1:9/tasks' },
    },
  }
}

async function explain(plane: Plane, token: string, ...flags: string[]): Promise<Told> {
  const { code, stdout, stderr } = await startCli(
    ['explain', '--json', ...flags],
    configOf(plane),
    `${token}\n`,
  )
  expect(stderr).toBe('')
  expect(stdout).not.toContain(token)
  return { code, ...(JSON.parse(stdout) as Omit<Told, 'code'>) }
}

const reasons = ({ problems }: Told): string[] => problems.map(({ reason }) => reason)

function changed(token: string): string {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const other = signature.startsWith('A') ? `B${signature.slice(1)}` : `A${signature.slice(1)}`
  return [header, payload, other].join('.')
}

function foreign(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}.${'A'.repeat(86)}`
}

describe('postern explain', () => {
  it('a good token: its claims in words, exit 0; at another server ERR_TOKEN_AUDIENCE, exit 1', async () => {
    const plane = await openPlane({ provider: 'github', clock: 'real' })
    const caller = await plane.signIn('ada')
    const told = await explain(plane, `Authorization: Bearer ${caller.accessToken}`)
    expect(told).toMatchObject({ code: 0, ok: true, ours: true, form: 'access token' })
    expect(told.facts).toMatchObject({
      for: plane.resource,
      client: caller.clientId,
      scope: 'mcp',
      '  mcp': 'Use every tool of this server in your name',
      'grant state': 'active',
    })
    expect(told.facts.person).toMatch(/signed in with github$/)
    const elsewhere = await explain(
      plane,
      caller.accessToken,
      '--resource',
      `${plane.issuer}/mcp/tasks`,
    )
    expect(elsewhere.code).toBe(1)
    expect(elsewhere.problems).toEqual([
      {
        reason: 'audience',
        code: 'ERR_TOKEN_AUDIENCE',
        problem: `this token is for ${plane.issuer}/mcp/notes, not for /mcp/tasks.`,
        fix: 'The client must sign in to each server URL; check the URL in its settings for a typo.',
      },
    ])
    const refresh = await explain(plane, caller.refreshToken ?? '')
    expect(refresh).toMatchObject({ code: 0, ok: true, form: 'refresh token' })
    expect(refresh.facts).toMatchObject({ generation: '0', 'grant state': 'active' })
    await plane.stop()
    const before = digestOf(plane)
    expect((await explain(plane, caller.accessToken)).code).toBe(0)
    expect(digestOf(plane), 'nothing was written').toBe(before)
  })

  it('an ended grant is named with its cause and its mark; a used refresh token with its generation', async () => {
    const plane = await openPlane({ provider: 'github', clock: 'real' })
    plane.provider.signIn('ada')
    const visitor = createVisitor({ press: [/^allow/i, /^continue as ada/i, /^End$/] })
    const { resource } = plane
    const redirectUri = 'http://127.0.0.1:9/callback'
    const caller = await signInAsClient({ resource, redirectUri, visitor })
    const { status } = await plane.refresh({ ...caller, login: 'ada' })
    expect(status).toBe(200)
    // Answered with the same successor for a minute; explained as what it still is.
    expect((await explain(plane, caller.refreshToken ?? '')).code).toBe(0)
    const account = `${plane.issuer}/account`
    await visitor.visit(new URL(account), account)
    const told = await explain(plane, caller.accessToken)
    expect(told).toMatchObject({ code: 1, ours: true })
    expect(told.problems.map(({ problem }) => problem)).toEqual(
      expect.arrayContaining([
        'its grant has ended: ended_by_user.',
        'its grant was revoked: ended_by_user.',
      ]),
    )
    expect(reasons(await explain(plane, caller.refreshToken ?? ''))).toContain('grant_ended')
  })

  it('what is not ours: another issuer, changed text, another tag, no token at all', async () => {
    const plane = await openPlane({ provider: 'github', clock: 'real' })
    const caller = await plane.signIn('ada')
    const other = await explain(plane, foreign({ iss: 'https://idp.example', sub: 'x\u001b[2J' }))
    expect(other).toMatchObject({ code: 1, ours: false, form: 'JWT' })
    expect(other.problems[0]?.problem).toBe(
      `its issuer is https://idp.example, ours is ${plane.issuer}.`,
    )
    expect(other.facts).toMatchObject({ 'header alg': 'RS256', 'claim sub': 'x?[2J' })
    const cases: [string, string][] = [
      [changed(caller.accessToken), 'signature'],
      [foreign({ iss: plane.issuer }), 'tag'],
      [`${(caller.refreshToken ?? '').slice(0, -22)}${'A'.repeat(22)}`, 'refresh_unknown'],
      ['gho_somebodyelse', 'opaque'],
    ]
    for (const [token, reason] of cases) {
      const told = await explain(plane, token)
      expect([told.code, told.ours, reasons(told)], reason).toEqual([1, false, [reason]])
    }
    const nothing = await startCli(['explain'], configOf(plane), '\n')
    expect([nothing.code, nothing.stdout]).toEqual([2, ''])
    expect(nothing.stderr).toContain('there is no token on standard input')
    const lines = await startCli(['explain'], configOf(plane), foreign({ iss: 'x' }))
    expect(lines.stdout).toMatch(/^not ours: this JWT was not made by this server\.\n/)
  })

  it('no store, exit 3: nothing is made where nothing is', async () => {
    const config = { issuer: 'http://127.0.0.1:8414', databaseUrl: 'sqlite:nowhere/postern.db' }
    const { code, stderr } = await startCli(['explain', 'ptr_x'], config)
    expect(stderr).toContain('ERR_STORE_UNAVAILABLE')
    expect(code).toBe(3)
  })
})

function digestOf(plane: Plane): string {
  return createHash('sha256').update(readFileSync(plane.databasePath)).digest('hex')
}
