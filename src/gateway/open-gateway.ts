/**
 * The gateway of a house, made and wired: remembered tokens, credentials, the view that decisions look
 * at, and the two that carry them out. Nothing here decides.
 */
import { createTokenTable, type TokenTable } from '../cache/token-table.ts'
import type { Config } from '../config.ts'
import { sealLink } from '../connectors/connect/link.ts'
import { createLiveConnectors } from '../connectors/connectors.ts'
import { createCredentials } from '../connectors/credentials.ts'
import type { ConnectorDirectory } from '../connectors/directory.ts'
import type { LateOutbound } from '../connectors/late-outbound.ts'
import type { LateConsents } from '../connectors/made/late-consents.ts'
import { type Authenticator, createAuthenticator, type Session } from '../issuer/authenticate.ts'
import type { Keys } from '../issuer/keys.ts'
import type { Memberships } from '../issuer/memberships.ts'
import type { Proofs } from '../issuer/proof.ts'
import type { RevocationView } from '../issuer/revocation.ts'
import type { Guard } from '../middleware/guard.ts'
import { dpopNonces } from '../oauth/dpop.ts'
import { canonicalResource } from '../oauth/urls.ts'
import type { Platform, Send, Store } from '../ports.ts'
import { createConnectionCalls } from './connection-calls.ts'
import { createGuard } from './guard.ts'
import { createPossession } from './possession.ts'
import { createProxy } from './proxy.ts'
import { createSessionIds } from './session-id.ts'
import { createView, type GatewayView } from './view.ts'

/** Members of a session with few different values: kept once for all remembered tokens. */
const SHARED_MEMBERS: readonly (keyof Session & string)[] = [
  'tenant',
  'clientId',
  'resource',
  'scopes',
  'keyId',
  'provider',
  'identityIssuer',
  'groups',
  'roles',
  'tenantId',
  'acr',
]

export interface Gateway {
  readonly table: TokenTable<Session>
  readonly authenticator: Authenticator
  readonly view: GatewayView
  readonly guard: Guard
  readonly proxy: (request: Request) => Promise<Response>
}

export interface GatewayGround {
  readonly config: Config
  readonly platform: Pick<Platform, 'runtime' | 'emit'>
  readonly store: Store
  readonly keys: Keys
  readonly revocation: RevocationView
  readonly made: Pick<ConnectorDirectory, 'onChange'>
  readonly outbound: { readonly send: Send }
}

interface Behind {
  readonly proofs: Proofs
  readonly memberships: Memberships
  readonly late: LateOutbound
  readonly consents: LateConsents
}

export function openGateway(
  ground: GatewayGround,
  { proofs, memberships, late, consents }: Behind,
): Gateway {
  const { config, platform, store, outbound, keys, revocation } = ground
  const { runtime, emit } = platform
  const { rememberedTokensMax: max, firstByteTimeoutMs } = config.limits
  const { issuer } = config
  const table = createTokenTable<Session>({ max, runtime, shared: SHARED_MEMBERS })
  const authenticator = createAuthenticator({ runtime, emit, store, issuer, keys, table })
  const possession = config.enable.includes('dpop')
    ? createPossession({
        runtime,
        nonces: () => dpopNonces(runtime, keys.tagKey(), Math.floor(runtime.nowMs() / 1000)),
      })
    : undefined
  const sessionIds = createSessionIds({ runtime, key: () => keys.mcpSessionKey() })
  const connections = createConnectionCalls({
    runtime,
    tokens: late.tokens,
    link: (facts) => sealLink({ config, runtime, keys }, facts),
    report: (connector, evidence) => late.opened()?.lifecycle.report(connector, evidence),
    sessionIds,
    key: () => keys.ticketKey(),
  })
  late.onOpened((outbound) =>
    outbound.onConnected((userId, connector) => connections.connected(userId, connector)),
  )
  const view = createView({
    config,
    runtime,
    connectors: createLiveConnectors(config, ground.made),
    authenticator,
    credentials: createCredentials({ config, keys, runtime, tokens: late.tokens, consents }),
    consents,
    sessionIds,
    connections,
    proofs,
    memberships,
    revocation,
    possession,
  })
  const resources = config.resources.map(({ url }) => canonicalResource(url) ?? url)
  return {
    table,
    authenticator,
    view,
    guard: createGuard({ view, emit, resources }),
    proxy: createProxy({ view, emit, runtime, send: outbound.send, firstByteTimeoutMs }),
  }
}
