/**
 * The callers of the comparison: the server itself, the old way and Postern, each over a connection
 * of its own and, where there is a sign-in, with a token that Ada really got.
 */
import type { Lane } from './comparison.ts'
import type { GitHubDouble } from './doubles/github.ts'
import { OPENID_PATHS, type OpenIdDouble } from './doubles/openid.ts'
import { type CallResult, createMcpCaller, type McpCaller } from './mcp-caller.ts'
import { gitHubQuestions, type OldWay, openIdQuestions, startOldWay } from './old-way.ts'
import {
  GITHUB_OLD_WAY,
  OPENID_OLD_WAY,
  type ProviderName,
  REDIRECT_URI,
  TITLES,
} from './registrations.ts'
import { refresh, type SignedInClient, signInAsClient } from './sign-in.ts'
import { createVisitor } from './visitor.ts'

/** Our access tokens live an hour. */
const REFRESH_EVERY_MS = 2_700_000

export interface Lanes {
  of(provider: ProviderName): Readonly<Record<Lane, McpCaller>>
  signIn(provider: ProviderName): Promise<void>
  close(): void
}

/** One caller per way and provider, each with its own connection and Ada's own token. */
export function createLanes(parts: {
  readonly issuer: string
  readonly notesUrl: string
  readonly oldWays: Readonly<Record<ProviderName, OldWay>>
}): Lanes {
  const clients = new Map<ProviderName, SignedInClient>()
  const oldTokens = new Map<ProviderName, string>()
  const resource = `${parts.issuer}/mcp/notes`
  const noAuth = createMcpCaller(parts.notesUrl)
  const create = (name: ProviderName): Readonly<Record<Lane, McpCaller>> => ({
    noAuth,
    before: createMcpCaller(parts.oldWays[name].url, () => oldTokens.get(name) ?? ''),
    postern: createMcpCaller(resource, () => clients.get(name)?.accessToken ?? ''),
  })
  const lanes = { openid: create('openid'), github: create('github') }
  const renew = async (): Promise<void> => {
    for (const [name, client] of clients) clients.set(name, await refresh(client))
  }
  // A refresh that fails shows itself: the lane gets its 401.
  const timer = setInterval(() => void renew().catch(() => undefined), REFRESH_EVERY_MS)
  timer.unref()
  return {
    of: (name) => lanes[name],
    async signIn(name) {
      oldTokens.set(name, await parts.oldWays[name].signIn(createVisitor({ press: ADA })))
      clients.set(name, await signInTo(resource, name))
    },
    close() {
      clearInterval(timer)
      for (const { before, postern } of Object.values(lanes)) {
        before.close()
        postern.close()
      }
      noAuth.close()
    },
  }
}

const ADA: readonly RegExp[] = [/^continue as ada/i]

function signInTo(resource: string, provider: ProviderName): Promise<SignedInClient> {
  const press = [new RegExp(`^allow and continue with ${TITLES[provider]}$`, 'i'), ...ADA]
  return signInAsClient({ resource, redirectUri: REDIRECT_URI, visitor: createVisitor({ press }) })
}

/** Ada's token for the endpoint of a connector, of a sign-in of its own. */
export async function tokenFor(issuer: string, connector: string): Promise<string> {
  return (await signInTo(`${issuer}/mcp/${connector}`, 'openid')).accessToken
}

/** A sign-in of its own; the call is the second, because the first makes the server fetch our keys. */
export async function callPython(issuer: string): Promise<CallResult> {
  const resource = `${issuer}/mcp/python`
  const { accessToken } = await signInTo(resource, 'openid')
  const caller = createMcpCaller(resource, () => accessToken)
  const whoami = { name: 'whoami', arguments: {} }
  await caller.call(whoami)
  const result = await caller.call(whoami)
  caller.close()
  return result
}

export async function startOldWays(
  target: URL,
  openid: OpenIdDouble,
  gitHub: GitHubDouble,
): Promise<Readonly<Record<ProviderName, OldWay>>> {
  const openidEndpoints = {
    userinfo: `${openid.issuer}${OPENID_PATHS.userinfo}`,
    introspection: `${openid.issuer}${OPENID_PATHS.introspection}`,
  }
  return {
    openid: await startOldWay({
      target,
      provider: {
        ...OPENID_OLD_WAY,
        authorizationEndpoint: `${openid.issuer}${OPENID_PATHS.authorization}`,
        tokenEndpoint: `${openid.issuer}${OPENID_PATHS.token}`,
        redirectUri: REDIRECT_URI,
        scope: 'openid profile email',
        questions: openIdQuestions({ ...openidEndpoints, ...OPENID_OLD_WAY }),
      },
    }),
    github: await startOldWay({
      target,
      provider: {
        clientId: GITHUB_OLD_WAY.clientId,
        clientSecret: GITHUB_OLD_WAY.clientSecret,
        authorizationEndpoint: `${gitHub.url}/login/oauth/authorize`,
        tokenEndpoint: `${gitHub.url}/login/oauth/access_token`,
        redirectUri: REDIRECT_URI,
        scope: 'user',
        questions: gitHubQuestions(gitHub.apiUrl),
      },
    }),
  }
}
