/**
 * Clients that sign in, refresh and revoke at random, and remember exactly what the house has
 * acknowledged: after a crash this is what must still be true.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createVisitor } from '../../demo/visitor.ts'
import { callTool } from './plane.ts'

const REDIRECT_URI = 'http://127.0.0.1:9/callback'

/**
 * `code`: the client has it. `redeeming`, `refreshing`, `revoking`: sent, no answer yet.
 * `active`, `revoked`: answered.
 */
export type State = 'code' | 'redeeming' | 'active' | 'refreshing' | 'revoking' | 'revoked'

export interface Entry {
  state: State
  readonly code: string
  readonly verifier: string
  accessToken: string
  /** The newest that was acknowledged. */
  refreshToken: string
  /** Presented and answered: spent. */
  readonly spent: string[]
}

export interface Answered {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

export interface Ledger {
  readonly entries: Entry[]
  readonly acknowledged: number
  /** Registers the client that everything is done with. */
  register(): Promise<void>
  /** One random thing; rejects when the house is gone in the middle of it. */
  wander(): Promise<void>
  redeem(entry: Entry): Promise<Answered>
  refresh(entry: Entry, refreshToken?: string): Promise<Answered>
  call(entry: Entry): Promise<number>
}

export interface LedgerOptions {
  readonly issuer: string
  readonly people: readonly string[]
  /** In [0, 1), seeded. */
  readonly random: () => number
  /** Secrets that no server of the test has seen. */
  readonly onSecret: (...secrets: readonly string[]) => void
  /** Called with each acknowledged answer. */
  readonly onAcknowledged: () => void
}

export function createLedger(options: LedgerOptions): Ledger {
  const { issuer, random } = options
  const resource = `${issuer}/mcp/notes`
  const entries: Entry[] = []
  let clientId = ''
  let acknowledged = 0
  const note = (): void => {
    acknowledged++
    options.onAcknowledged()
  }
  const post = (path: string, form: Readonly<Record<string, string>>): Promise<Answered> =>
    postForm(`${issuer}${path}`, { client_id: clientId, ...form })
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)]

  const redeem = async (entry: Entry): Promise<Answered> => {
    const answer = await post('/token', {
      grant_type: 'authorization_code',
      code: entry.code,
      redirect_uri: REDIRECT_URI,
      code_verifier: entry.verifier,
      resource,
    })
    keep(entry, answer)
    return answer
  }
  const keep = (entry: Entry, { status, body }: Answered): void => {
    if (status !== 200) return
    entry.accessToken = String(body['access_token'])
    entry.refreshToken = String(body['refresh_token'])
    options.onSecret(entry.accessToken, entry.refreshToken)
  }
  const refresh = async (entry: Entry, presented = entry.refreshToken): Promise<Answered> => {
    const answer = await post('/token', { grant_type: 'refresh_token', refresh_token: presented })
    if (answer.status === 200) entry.spent.push(presented)
    keep(entry, answer)
    return answer
  }
  const signIn = async (): Promise<void> => {
    const entry = await takeCode(issuer, clientId, resource, pick(options.people) ?? '')
    options.onSecret(entry.code, entry.verifier)
    entries.push(entry)
    note()
    // Some clients are slow: the code is all they have when the house dies.
    if (random() < 0.15) return
    entry.state = 'redeeming'
    expectStatus(await redeem(entry), 200)
    entry.state = 'active'
    note()
  }
  const rotate = async (entry: Entry): Promise<void> => {
    entry.state = 'refreshing'
    expectStatus(await refresh(entry), 200)
    entry.state = 'active'
    note()
  }
  const revoke = async (entry: Entry): Promise<void> => {
    entry.state = 'revoking'
    expectStatus(await post('/revoke', { token: entry.refreshToken }), 200)
    entry.state = 'revoked'
    note()
  }
  return {
    entries,
    get acknowledged() {
      return acknowledged
    },
    async register() {
      const response = await fetch(`${issuer}/register`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          client_name: 'Wanderer',
          redirect_uris: [REDIRECT_URI],
          grant_types: ['authorization_code', 'refresh_token'],
          response_types: ['code'],
          token_endpoint_auth_method: 'none',
        }),
      })
      const body = (await response.json()) as { client_id: string }
      clientId = body.client_id
    },
    async wander() {
      const idle = entries.filter(({ state }) => state === 'active')
      const dice = random()
      const entry = pick(idle)
      if (entry === undefined || dice < 0.3) await signIn()
      else if (dice < 0.85) await rotate(entry)
      else await revoke(entry)
    },
    redeem,
    refresh,
    call: async (entry) => (await callTool(resource, entry.accessToken)).status,
  }
}

/** Through the real pages, up to the code in the client's hand. */
async function takeCode(
  issuer: string,
  clientId: string,
  resource: string,
  login: string,
): Promise<Entry> {
  const verifier = randomBytes(32).toString('base64url')
  const url = new URL(`${issuer}/authorize`)
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: clientId,
    redirect_uri: REDIRECT_URI,
    resource,
    state: randomBytes(8).toString('base64url'),
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  }).toString()
  const visitor = createVisitor({ press: [/^allow/i, new RegExp(`^continue as ${login}`, 'i')] })
  const callback = await visitor.visit(url, REDIRECT_URI)
  const code = callback.searchParams.get('code')
  if (code === null) throw new Error(`no code: ${callback.searchParams.get('error')}`)
  return { state: 'code', code, verifier, accessToken: '', refreshToken: '', spent: [] }
}

async function postForm(url: string, form: Readonly<Record<string, string>>): Promise<Answered> {
  const response = await fetch(url, { method: 'POST', body: new URLSearchParams(form) })
  const text = await response.text()
  const body = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {}
  return { status: response.status, body }
}

/** An answer that is no crash and not right either fails the test, whenever it comes. */
export class WrongAnswer extends Error {}

function expectStatus({ status, body }: Answered, wanted: number): void {
  if (status !== wanted) throw new WrongAnswer(`${status} ${String(body['error'])}, not ${wanted}`)
}
