/**
 * A GitHub for demo and tests: a real server with GitHub's addresses, answers, headers, limits and
 * refusals. It plays github.com and api.github.com at once, told apart by `Host` where a caller cannot
 * be given other URLs. Which section of docs.github.com an answer follows stands in `X-Documentation`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type FaultOptions, type Faults, startFaults } from './faults.ts'
import { api, type Throttle } from './github-api.ts'
import { accessToken, authorize } from './github-login.ts'
import { type App, createState } from './github-state.ts'
import { PEOPLE, type Person } from './people.ts'
import { playBrowser } from './sign-in.ts'

export interface GitHubDoubleOptions {
  readonly people?: readonly Person[]
  /** Default: one app, `Iv1.demo` with the secret `demo-secret`, any callback on the loopback. */
  readonly apps?: readonly App[]
  /** Eight-hour tokens with refresh tokens. Default false. */
  readonly expiringTokens?: boolean
  /** Logins by team, `organization/slug`. Organizations are the groups of the people. */
  readonly teams?: Readonly<Record<string, readonly string[]>>
  readonly port?: number
  /** Speak https with this certificate. */
  readonly tls?: FaultOptions['tls']
  readonly nowMs?: () => number
}

export interface GitHubDouble extends Faults {
  /** What a program is given as `url` and `apiUrl`. */
  readonly url: string
  readonly apiUrl: string
  readonly app: App
  /** Who is signed in at GitHub in every browser; `undefined`: the page asks. Default the first person. */
  signIn(login: string | undefined): void
  /** False: the page is shown each time. Default true. */
  approveAutomatically(isOn: boolean): void
  /** "Revoke access" in the settings of this person: all their tokens die. Returns how many. */
  revoke(login: string): number
  /** All tokens of everybody die: GitHub forgets, or says no to everybody. */
  revokeEverybody(): number
  /** Everybody gets a rate-limit answer until called with `undefined`. */
  limit(throttle: Throttle | undefined): void
  expireTokens(isOn: boolean): void
  /** Live tokens of a person, to be used as they are. */
  tokensOf(login: string): readonly string[]
  /** Plays the browser of `login` and returns the callback address. */
  playSignIn(authorizationUrl: string | URL, login: string): Promise<URL>
}

const APP: App = { clientId: 'Iv1.demo', clientSecret: 'demo-secret', name: 'Postern demo' }

export async function startGitHubDouble(options: GitHubDoubleOptions = {}): Promise<GitHubDouble> {
  const people = options.people ?? PEOPLE
  let signedIn: string | undefined = people[0]?.login
  let autoApprove = true
  let throttle: Throttle | undefined
  let isExpiring = options.expiringTokens ?? false
  const state = createState({
    people,
    apps: options.apps ?? [APP],
    nowMs: options.nowMs ?? Date.now,
    expiringTokens: () => isExpiring,
    teams: options.teams ?? {},
  })
  const login = {
    state,
    signedIn: () => people.find((person) => person.login === signedIn),
    autoApprove: () => autoApprove,
  }
  const handler = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = new URL(request.url ?? '/', 'http://double').pathname
    const host = request.headers.host ?? ''
    const isWeb = path.startsWith('/login/')
    if ((host === 'github.com' && !isWeb) || (host === 'api.github.com' && isWeb)) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('Not Found')
    } else if (path === '/login/oauth/authorize') {
      await authorize(request, response, login)
    } else if (path === '/login/oauth/access_token' && request.method === 'POST') {
      await accessToken(request, response, state)
    } else {
      await api(request, response, { state, limit: () => throttle })
    }
  }
  const faults = await startFaults({
    handler,
    isFrontChannel: (path) => path === '/login/oauth/authorize',
    nameOf: (path) => path.replace(/^\/applications\/[^/]+/, '/applications/{client_id}'),
    port: options.port,
    tls: options.tls,
  })
  return {
    ...faults,
    url: faults.origin,
    apiUrl: faults.origin,
    app: state.apps[0] ?? APP,
    signIn: (name) => {
      signedIn = name
    },
    approveAutomatically: (isOn) => {
      autoApprove = isOn
    },
    revoke: (name) => state.dropTokens(({ person }) => person.login === name),
    revokeEverybody: () => state.dropTokens(() => true),
    limit: (value) => {
      throttle = value
    },
    expireTokens: (isOn) => {
      isExpiring = isOn
    },
    tokensOf: (name) => state.tokensOf(name).map(({ value }) => value),
    playSignIn: (authorizationUrl, name) => {
      const { origin } = new URL(authorizationUrl)
      const asked = new URL(authorizationUrl)
      asked.searchParams.set('login', name)
      return playBrowser(asked, { origin, reachedAt: faults.origin, choose: { person: name } })
    },
  }
}
