/**
 * Microsoft Entra ID, v2 endpoints: one organisation, or several with an issuer template whose tenant
 * is the token's `tid` (PRV-14, PRV-15). People are keyed by `tid` and `oid`; Graph tokens are opaque.
 * @see https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
 * @see https://learn.microsoft.com/entra/identity-platform/access-tokens
 */
import type { JsonObject } from '../oauth/claims.ts'
import { text } from './answers.ts'
import { ENTRA_FACTS } from './entra-facts.ts'
import { graphGroups, hasOverage } from './entra-groups.ts'
import { isAudience } from './oidc-access-token.ts'
import { openIdType } from './oidc-adapter.ts'
import { GROUPS_MAX, type OpenIdProduct, type OpenIdQuirks, stringsOf } from './oidc-product.ts'
import type { JsonWebKeySet } from './openid-metadata.ts'
import type { ProviderInput, ProviderOptions } from './provider.ts'

const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const SHARED: readonly string[] = ['organizations', 'common']
/** The tenant of personal accounts, as `consumers` writes its issuer. */
const CONSUMERS = '9188040d-6c67-4c5b-b112-36a304b66dad'
const PLACEHOLDER = '{tenantid}'

export interface EntraOptions extends ProviderOptions {
  /** Id of the directory, or `organizations`, `common`, `consumers`. */
  readonly tenant?: string
  /** With `organizations` and `common`: ids of the directories whose people may sign in, or `any`. */
  readonly allowedTenants?: readonly string[]
  /** Claim with the person's groups. Default `groups`. */
  readonly groupsClaim?: string
  /** Application id or URI of an API of your own: its access tokens are then checked locally. */
  readonly audience?: string
  /** A national cloud. Default `https://login.microsoftonline.com`. */
  readonly url?: string
  /** A national cloud. Default `https://graph.microsoft.com`. */
  readonly graphUrl?: string
}

/** Microsoft Entra ID as a sign-in provider. What is not given comes from `POSTERN_ENTRA_*`. */
export function entra(options: EntraOptions = {}): ProviderInput {
  return { ...options, type: 'entra' }
}

type Options = Readonly<Record<string, string | undefined>>

function quirks(options: Options, clientId: string): OpenIdQuirks {
  const tenant = options['tenant'] ?? ''
  const url = (options['url'] ?? '').replace(/\/$/, '')
  const graphUrl = (options['graphUrl'] ?? '').replace(/\/$/, '')
  const allowed = tenantsOf(options)
  const issuerOf = (tid: string) => `${url}/${tid}/v2.0`
  const { audience } = options
  return {
    issuer: issuerOf(tenant === 'consumers' ? CONSUMERS : tenant),
    ...(SHARED.includes(tenant) ? { documentIssuer: issuerOf(PLACEHOLDER) } : {}),
    tokenIssuer(claims) {
      const tid = text(claims, 'tid')
      return tid !== undefined && allowed(tid) ? issuerOf(tid) : undefined
    },
    keysOf: (keys, issuer) => keysFor(keys, issuer, issuerOf(PLACEHOLDER)),
    approvedOrigins: [url, graphUrl].filter((it) => !PUBLIC.includes(it)),
    defaultScopes: ['openid', 'profile', 'email', 'offline_access', `${graphUrl}/User.Read`],
    scopeAliases: { 'User.Read': `${graphUrl}/User.Read` },
    accountPrompt: 'select_account',
    consentPrompt: 'never',
    authMethod: 'client_secret_post',
    tokenScopes: (scopes) => ofOneResource(scopes, graphUrl),
    refreshEnds: ['interaction_required'],
    groupsClaim: options['groupsClaim'] ?? 'groups',
    subjectOf,
    identify({ idToken }) {
      const subject = subjectOf(idToken)
      const tid = text(idToken, 'tid')
      if (subject === undefined || tid === undefined) return { refused: 'id_token_oid' }
      return {
        issuer: issuerOf(tid),
        subject,
        tenant: tid,
        roles: stringsOf(idToken['roles'], GROUPS_MAX),
        // "xms_edov": the domain of the e-mail was verified by its owner; nothing else says so.
        emailVerified: idToken['xms_edov'] === true || idToken['xms_edov'] === 1,
      }
    },
    async furtherGroups(context, tokens, { idToken }) {
      if (!hasOverage(idToken)) return undefined
      // A token for another API cannot ask Graph: no group is known, so no group admits.
      if (audience !== undefined) return []
      return await graphGroups(context, { graphUrl, accessToken: tokens.accessToken })
    },
    ...(audience === undefined
      ? {}
      : { accessToken: (claims: JsonObject) => judgeOwnApi(claims, { audience, clientId }) }),
    check: 'life',
    asksUserinfo: false,
    revocation: 'none',
  }
}

const PUBLIC: readonly string[] = [
  'https://login.microsoftonline.com',
  'https://graph.microsoft.com',
]

/** `sub` differs for each application; `tid` and `oid` together are the person (ID token claims reference). */
function subjectOf(claims: JsonObject): string | undefined {
  const tid = text(claims, 'tid')
  const oid = text(claims, 'oid')
  return tid === undefined || oid === undefined ? undefined : `${tid}.${oid}`
}

/** Which `tid` may stand in a token. Without a shared endpoint it is the one that was configured. */
function tenantsOf({ tenant, allowedTenants }: Options): (tid: string) => boolean {
  if (tenant === undefined || !SHARED.includes(tenant)) {
    const only = tenant === 'consumers' ? CONSUMERS : tenant
    return (tid) => tid === only
  }
  const list = (allowedTenants ?? '').split(',')
  return (tid) => GUID.test(tid) && (list.includes('any') || list.includes(tid))
}

/** A key of a shared endpoint may say for whom it signs (access tokens, "Validate the issuer"). */
function keysFor(set: JsonWebKeySet, issuer: string, template: string): JsonWebKeySet {
  return {
    keys: set.keys.filter((key) => {
      const signsFor = (key as JsonObject)['issuer']
      return signsFor === undefined || signsFor === issuer || signsFor === template
    }),
  }
}

const OPENID_SCOPES: readonly string[] = ['openid', 'profile', 'email', 'offline_access']

/**
 * A token is for one resource (AADSTS28000), so each token request names the scopes of the first one
 * only, and always names them (AADSTS28003). `resource` is never sent (AADSTS901002).
 */
function ofOneResource(scopes: readonly string[], graphUrl: string): readonly string[] {
  const isOpenId = (scope: string) => OPENID_SCOPES.includes(scope)
  const first = scopes.find((scope) => !isOpenId(scope))
  if (first === undefined) return scopes
  const resource = resourceOf(first, graphUrl)
  return scopes.filter((scope) => isOpenId(scope) || resourceOf(scope, graphUrl) === resource)
}

/** `api://app/read` is of `api://app`; an unqualified scope is of Graph (AADSTS650053). */
function resourceOf(scope: string, graphUrl: string): string {
  return scope.includes('://') ? scope.slice(0, scope.lastIndexOf('/')) : graphUrl
}

function judgeOwnApi(
  claims: JsonObject,
  expected: { readonly audience: string; readonly clientId: string },
): 'audience' | 'client' | undefined {
  if (!isAudience(claims, expected.audience)) return 'audience'
  return text(claims, 'azp') === expected.clientId ? undefined : 'client'
}

const TENANT_WORDS = [...SHARED, 'consumers'].join(', ')

const PRODUCT: OpenIdProduct = {
  type: 'entra',
  title: 'Microsoft',
  secretRequired: true,
  options: [
    {
      name: 'tenant',
      kind: 'text',
      required: true,
      pattern: new RegExp(`${GUID.source}|^(?:organizations|common|consumers)$`),
      mustBe: `the id of a directory (lower case), or one of ${TENANT_WORDS}`,
      environmentSuffix: 'TENANT',
      sentence: `Id of the directory, or \`organizations\`, \`common\`, \`consumers\`.`,
    },
    {
      name: 'allowedTenants',
      kind: 'list',
      pattern: new RegExp(`${GUID.source}|^any$`),
      mustBe: 'a list of directory ids (lower case), or `any`',
      environmentSuffix: 'ALLOWED_TENANTS',
      sentence:
        'With `organizations` and `common`: ids of the directories whose people may sign in, or `any`.',
    },
    {
      name: 'groupsClaim',
      kind: 'text',
      default: 'groups',
      sentence: 'Claim that lists the groups of a person.',
    },
    {
      name: 'audience',
      kind: 'text',
      sentence:
        'Application id or URI of an API of your own (token version 2) whose scopes are asked for: its access tokens are then checked locally.',
    },
    {
      name: 'url',
      kind: 'url',
      default: 'https://login.microsoftonline.com',
      environmentSuffix: 'URL',
      sentence: 'Where people sign in; another one for a national cloud.',
    },
    {
      name: 'graphUrl',
      kind: 'url',
      default: 'https://graph.microsoft.com',
      environmentSuffix: 'GRAPH_URL',
      sentence: 'Microsoft Graph; another one for a national cloud.',
    },
  ],
  facts: ENTRA_FACTS,
  setUp:
    'Register an application with a web redirect URI and a client secret. For groups add the `groups` claim to the ID token; of people in more than 200 groups they come from Graph with one call, for which `User.Read` is asked. An e-mail counts as verified only with the optional claim `xms_edov`. App roles come as roles. Entra revokes no single token: a sign-in that was ended there ends here with its access token, 60 to 90 minutes.',
  credentialsHint: (callbackUrl) =>
    `Register an application at https://entra.microsoft.com with web redirect URI ${callbackUrl}`,
  judge(options) {
    const isShared = SHARED.includes(options['tenant'] ?? '')
    if (isShared === (options['allowedTenants'] !== undefined)) return undefined
    return isShared
      ? {
          option: 'allowedTenants',
          mustBe: `given with tenant "${options['tenant']}"`,
          fix: 'name the directories whose people may sign in, or `any` and an `allow` that chooses.',
        }
      : { option: 'allowedTenants', mustBe: 'left out with one tenant', fix: 'leave it out.' }
  },
  quirks,
}

export const ENTRA = openIdType(PRODUCT)
