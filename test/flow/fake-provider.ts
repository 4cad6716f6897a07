/**
 * A provider that stands for the remote side in flow tests: who signs in next, what the next exchange
 * does, and what it was asked.
 */
import { UpstreamError } from '../../src/errors.ts'
import type { Identity, Provider } from '../../src/providers/provider.ts'

interface FakeProvider {
  readonly provider: Provider
  /** Who signs in next. */
  person: Partial<Identity>
  /** How it says that they were authenticated; as an OpenID provider with an ID token. */
  says: { readonly acr?: string; readonly authTimeSeconds?: number; readonly idToken?: string }
  /** What the person gives; `undefined`: the answer does not say. */
  granted: readonly string[] | undefined
  /** What the next exchange does. */
  behaviour: 'answers' | 'hangs' | 'fails'
  announcesIss: boolean
  /** Where its authorization page is. */
  origin: string
  readonly issuer: string
  readonly exchanges: {
    readonly code: string
    readonly verifier: string
    readonly nonce?: string
  }[]
  readonly journeys: URL[]
}

const FAKE_SCOPES = ['read:user', 'user:email']

export function createFakeProvider(id: string, title: string, issuer: string): FakeProvider {
  const providerIssuer = `https://${id}.example`
  const fake: FakeProvider = {
    person: {},
    granted: ['read:user'],
    says: {},
    behaviour: 'answers',
    announcesIss: false,
    origin: providerIssuer,
    issuer: providerIssuer,
    exchanges: [],
    journeys: [],
    provider: {
      id,
      type: id,
      title,
      issuer: providerIssuer,
      callbackPath: `/callback/${id}`,
      clientId: `client-at-${id}`,
      scopes: FAKE_SCOPES,
      approvedOrigins: [],
      async judgeIssuer(_context, iss) {
        if (iss === undefined) return fake.announcesIss ? 'missing' : 'right'
        return iss === providerIssuer ? 'right' : 'wrong'
      },
      async authorize(_context, input) {
        const url = new URL('/authorize', fake.origin)
        url.searchParams.set('state', input.state)
        url.searchParams.set('scope', [...FAKE_SCOPES, ...(input.scopes ?? [])].join(' '))
        url.searchParams.set('code_challenge', input.verifierChallenge)
        url.searchParams.set('nonce', input.nonce ?? '')
        url.searchParams.set('redirect_uri', `${issuer}/callback/${id}`)
        if (input.chooseAccount === true) url.searchParams.set('prompt', 'select_account')
        if (input.maxAgeSeconds !== undefined)
          url.searchParams.set('max_age', String(input.maxAgeSeconds))
        if (input.acrValues !== undefined)
          url.searchParams.set('acr_values', input.acrValues.join(' '))
        fake.journeys.push(url)
        return url
      },
      async exchange(_context, input) {
        fake.exchanges.push(input)
        if (fake.behaviour === 'hangs') await new Promise(() => undefined)
        if (fake.behaviour === 'fails') {
          throw new UpstreamError('ERR_UPSTREAM_CONNECT', {
            operation: 'token',
            origin: providerIssuer,
          })
        }
        const person = { ...ADA, issuer: providerIssuer, ...fake.person }
        const { idToken, ...authentication } = fake.says
        return {
          ...authentication,
          tokens: {
            accessToken: `upstream-${person.subject}`,
            tokenType: 'bearer',
            ...(fake.granted === undefined ? {} : { scopes: fake.granted }),
            ...(idToken === undefined ? {} : { idToken }),
          },
          identity: person,
          proof: { scopes: ['read:user'] },
        }
      },
      check: async () => ({ outcome: 'yes' }),
      explain: (error, redirectUri) =>
        error === 'redirect_uri_mismatch'
          ? {
              code: 'ERR_PROVIDER_CALLBACK',
              problem: `${title} says redirect_uri is not associated with this application.`,
              fix: `In the OAuth app, set the callback URL to ${redirectUri} (exactly, no slash at the end).`,
            }
          : undefined,
    },
  }
  return fake
}

const ADA: Identity = {
  issuer: 'https://github.example',
  subject: '1001',
  profile: { name: 'Ada Lovelace', login: 'ada', email: 'ada@corp.example', emailVerified: true },
  groups: [],
}
export const GRACE: Partial<Identity> = {
  subject: '1002',
  profile: {
    name: 'Grace Hopper',
    login: 'grace',
    email: 'grace@corp.example',
    emailVerified: true,
  },
}
