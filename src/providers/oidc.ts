/**
 * Any OpenID provider by its issuer: everything from its discovery document, no quirks.
 * @see OpenID Connect Core and Discovery
 */
import { createOpenId, openIdType } from './oidc-adapter.ts'
import { OIDC_FACTS } from './oidc-facts.ts'
import type { OpenIdProduct } from './oidc-product.ts'
import type { Provider, ProviderInput, ProviderOptions, ProviderSettings } from './provider.ts'

/** `scopes`: default `openid profile email`, and `offline_access` when the provider lists it. */
export interface OidcOptions extends ProviderOptions {
  /** Exactly as the provider writes it, trailing slash included. */
  readonly issuer?: string
  /** Claim with the person's groups, in the ID token or at userinfo. Default `groups`. */
  readonly groupsClaim?: string
  /** Claim with the person's roles, in the ID token or at userinfo. Default none. */
  readonly rolesClaim?: string
  /** How a sign-in is proved. `introspection` needs an endpoint that accepts this client. Default `userinfo`. */
  readonly check?: 'userinfo' | 'introspection'
}

/** A generic OpenID provider. What is not given comes from `POSTERN_<ID>_*`. */
export function oidc(options: OidcOptions = {}): ProviderInput {
  return { ...options, type: 'oidc' }
}

const PRODUCT: OpenIdProduct = {
  type: 'oidc',
  title: 'OpenID Connect',
  secretRequired: false,
  options: [
    {
      name: 'issuer',
      kind: 'url',
      required: true,
      environmentSuffix: 'ISSUER',
      sentence: 'The issuer identifier, exactly as the provider writes it.',
    },
    {
      name: 'groupsClaim',
      kind: 'text',
      default: 'groups',
      sentence: 'Claim that lists the groups of a person.',
    },
    { name: 'rolesClaim', kind: 'text', sentence: 'Claim that lists the roles of a person.' },
    {
      name: 'check',
      kind: 'choice',
      choices: ['userinfo', 'introspection'],
      default: 'userinfo',
      sentence: 'How a sign-in is proved.',
    },
  ],
  facts: OIDC_FACTS,
  setUp:
    '`offline_access` is requested where the provider lists it; without refresh tokens a sign-in ends with its access token. An e-mail counts when `email_verified` is the boolean `true`. Groups come from the claim `groupsClaim`.',
  credentialsHint: (callbackUrl, options) =>
    `Register a confidential client at ${options['issuer'] ?? 'the provider'} with redirect URI ${callbackUrl}`,
  quirks: (options) => {
    const issuer = options['issuer'] ?? ''
    return {
      issuer,
      approvedOrigins: [new URL(issuer).origin],
      groupsClaim: options['groupsClaim'] ?? 'groups',
      ...(options['rolesClaim'] === undefined ? {} : { rolesClaim: options['rolesClaim'] }),
      check: options['check'] === 'introspection' ? 'introspection' : 'userinfo',
    }
  },
}

export const OIDC = { ...openIdType(PRODUCT), create: createOidc }

export function createOidc(settings: ProviderSettings): Provider {
  const host = URL.parse(settings.options['issuer'] ?? '')?.hostname
  return createOpenId(PRODUCT, { ...(host === undefined ? {} : { title: host }), ...settings })
}
