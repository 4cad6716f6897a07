/**
 * The four calls of the element: list, start, confirm, disconnect. Each is for the one person of its
 * connect session, from that session's origin, and never gives a token to anybody.
 * @see flows.md section 7, steps 2, 3 and 7; W8, O6
 */
import { OAuthError } from '../../errors.ts'
import { readBody } from '../../issuer/body.ts'
import { createId } from '../../issuer/ids.ts'
import type { ConnectHouse, OpenConnector } from '../connect/connect-rooms.ts'
import { readyFor } from '../connect/connect-rooms.ts'
import type { ConnectionView } from '../connections/connections.ts'
import { NOT_LOOKED } from '../lifecycle/connector-life.ts'
import { openToApps } from './app-connectors.ts'
import { confirmPending } from './confirm.ts'
import type { LivingSession } from './connect-sessions.ts'
import { handleUrl } from './handles.ts'

const POPUP_TTL_MS = 60_000
const BODY_MAX_BYTES = 4_096
const NONCE_PATTERN = /^[A-Za-z0-9._~-]{22,128}$/
const CONNECTOR_UNAVAILABLE_STATUS = 503

export interface Called {
  readonly status: 200 | 201
  readonly body: unknown
}

export type Call = (house: ConnectHouse, living: LivingSession, http: Request) => Promise<Called>

export const listConnections: Call = async (house, living) => {
  const { session, app } = living
  const own = await house.connecting.connections.list(session.userId)
  const data = entriesOf(house, living).map((entry) =>
    describe(
      house,
      entry,
      own.find(({ connector }) => connector === entry.connector.name),
    ),
  )
  const expiresAt = new Date(session.expiresAtMs).toISOString()
  return { status: 200, body: { app: app.name, confirm: app.confirm, expiresAt, data } }
}

function describe(
  { connecting }: ConnectHouse,
  { connector, title }: OpenConnector,
  view: ConnectionView | undefined,
): object {
  const { name, url, description } = connector
  const isFound = connecting.lifecycle.binding(name) !== undefined
  const told = isFound ? undefined : connecting.lifecycle.status(name)?.problems[0]
  // A new isolate has looked at nothing: the click looks.
  const problem = told === NOT_LOOKED ? undefined : told
  const label = view?.accountLabel ?? view?.accountSubject
  const state = view?.state === 'ended' ? undefined : view?.state
  return {
    connector: name,
    title: title ?? name,
    ...(description === undefined ? {} : { description }),
    host: url.host,
    state: state ?? (problem === undefined ? 'none' : 'unavailable'),
    ...(view === undefined ? {} : { connectionId: view.connectionId }),
    ...(label === undefined ? {} : { accountLabel: label }),
    ...(view === undefined ? {} : { connectedAt: new Date(view.connectedAtMs).toISOString() }),
    ...(problem === undefined ? {} : { problem }),
  }
}

/** Writes nothing; warm, nobody is asked, also when the server is dead. */
export const startAttempt: Call = async (house, living, http) => {
  const { runtime } = house
  const { session, app } = living
  const { connector: name, nonce } = await readMembers(http, ['connector', 'nonce'])
  if (!NONCE_PATTERN.test(nonce)) throw malformed('nonce has 22 to 128 URL-safe characters')
  const { connector } = requireEntry(house, living, name)
  const ready = await readyFor(house, connector.name)
  if (!ready.ok) {
    const problem = ready.problems[0]?.text ?? 'it did not answer in time'
    throw new OAuthError('temporarily_unavailable', `${connector.name}: ${problem}`, {
      status: CONNECTOR_UNAVAILABLE_STATUS,
      code: 'ERR_WIDGET_UNAVAILABLE',
    })
  }
  const attempt = createId(runtime, 'con')
  const expiresAtMs = Math.trunc(runtime.nowMs()) + POPUP_TTL_MS
  const { origin, returnUrl, userId } = session
  const url = handleUrl(house, {
    kind: 'widget',
    app: app.name,
    ...{ attempt, origin, nonce },
    ...(returnUrl === undefined ? {} : { returnUrl }),
    connector: connector.name,
    ...{ userId, expiresAtMs },
  })
  return { status: 201, body: { url, attempt, expiresAt: new Date(expiresAtMs).toISOString() } }
}

export const confirmAttempt: Call = async (house, living, http) => {
  const { app, session } = living
  if (app.confirm === 'backend') {
    throw new OAuthError('access_denied', `${app.name} confirms from its backend`, {
      status: 403,
      code: 'ERR_CONFIRM_BACKEND',
    })
  }
  const { confirmation } = await readMembers(http, ['confirmation'])
  const { userId, connectors } = session
  const view = await confirmPending(house, {
    ...{ app, userId, confirmation },
    ...(connectors === undefined ? {} : { connectors }),
  })
  const { connector, state, connectionId } = view
  return { status: 200, body: { connector, state, connectionId } }
}

/** Ending twice is ending once (W7). */
export const disconnect: Call = async (house, living, http) => {
  const { connections } = house.connecting
  const { connector: name } = await readMembers(http, ['connector'])
  const { connector } = requireEntry(house, living, name)
  const found = await connections.find(living.session.userId, connector.name)
  const ended = found && (await connections.end(found.connectionId, 'ended_by_user'))
  const revocation = ended === undefined ? {} : { revocation: ended.revocation }
  return { status: 200, body: { connector: connector.name, state: 'none', ...revocation } }
}

/** In the order of the session. */
function entriesOf(house: ConnectHouse, { session }: LivingSession): readonly OpenConnector[] {
  const open = openToApps(house)
  if (session.connectors === undefined) return open
  return session.connectors.flatMap((name) =>
    open.filter(({ connector }) => connector.name === name),
  )
}

function requireEntry(house: ConnectHouse, living: LivingSession, name: string): OpenConnector {
  const found = entriesOf(house, living).find(({ connector }) => connector.name === name)
  if (found !== undefined) return found
  throw new OAuthError('invalid_request', 'this session has no such connector', {
    status: 404,
    code: 'ERR_CONNECTOR_NOT_FOUND',
  })
}

async function readMembers<N extends string>(
  http: Request,
  names: readonly N[],
): Promise<Readonly<Record<N, string>>> {
  const type = (http.headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/json') throw malformed('the body is JSON, and says so')
  const body = await readBody(http, BODY_MAX_BYTES)
  const value = parsed(body)
  const members = names.map((name) => {
    const member = value?.[name]
    if (typeof member !== 'string') throw malformed(`${name} is a string`)
    return [name, member] as const
  })
  return Object.fromEntries(members) as Record<N, string>
}

function parsed(body: string | undefined): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(body ?? '')
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined
  }
}

function malformed(problem: string): OAuthError {
  return new OAuthError('invalid_request', problem, { status: 400, code: 'ERR_WIDGET_REQUEST' })
}
