/** Who a provider says somebody is: the standard's claims, and what a product reads in its own way. */

import { isObject, type JsonObject } from '../oauth/claims.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import type { Profile } from '../records.ts'
import { pictureUrl, text } from './answers.ts'
import { judgeAccessToken } from './oidc-access-token.ts'
import { decodeClaims, refusedSignIn, subjectOf } from './oidc-client.ts'
import { discover, GROUPS_MAX, type OpenIdHouse, type Said, stringsOf } from './oidc-product.ts'
import { readUserinfo } from './oidc-proof.ts'
import type { Identity, ProviderContext } from './provider.ts'

/** @throws {OAuthError} when the person is not one this configuration speaks of. */
export async function identityOf(
  house: OpenIdHouse,
  context: ProviderContext,
  tokens: TokenSet,
  said: Said,
): Promise<Identity> {
  const { quirks } = house
  const claims: JsonObject = { ...said.idToken, ...said.userinfo }
  const parts = quirks.identify?.(said) ?? {}
  if ('refused' in parts) throw refusedSignIn(house, parts.refused)
  const groups =
    (await quirks.furtherGroups?.(context, tokens, said)) ??
    parts.groups ??
    stringsOf(claims[quirks.groupsClaim], GROUPS_MAX)
  const roles =
    parts.roles ??
    (quirks.rolesClaim === undefined ? [] : stringsOf(claims[quirks.rolesClaim], GROUPS_MAX))
  return {
    issuer: parts.issuer ?? quirks.issuer,
    subject: parts.subject ?? said.idToken.sub,
    profile: profileOf(claims, parts.emailVerified),
    groups: groups.slice(0, GROUPS_MAX),
    ...(roles.length === 0 ? {} : { roles }),
    ...(parts.tenant === undefined ? {} : { tenant: parts.tenant }),
  }
}

/** The person of kept tokens, asked again: the ID token was verified when it was stored. */
export async function identifyAgain(
  house: OpenIdHouse,
  context: ProviderContext,
  tokens: TokenSet,
): Promise<Identity | undefined> {
  const idToken = tokens.idToken === undefined ? undefined : decodeClaims(tokens.idToken)
  const subject = subjectOf(tokens.idToken)
  if (!isObject(idToken) || subject === undefined) return undefined
  const metadata = await discover(house, context)
  const userinfo =
    house.quirks.asksUserinfo === false
      ? undefined
      : await readUserinfo(house, context, metadata, tokens, subject)
  const access = await judgeAccessToken(house, context, tokens.accessToken)
  return identityOf(house, context, tokens, {
    idToken: idToken as Said['idToken'],
    ...(userinfo === undefined ? {} : { userinfo }),
    ...(access.state === 'ours' ? { accessToken: access.claims } : {}),
  })
}

/** Core section 5.1: `email_verified` is a boolean. A product that documents text says so in `identify`. */
function profileOf(claims: JsonObject, emailVerified: boolean | undefined): Profile {
  const name = text(claims, 'name')
  const email = text(claims, 'email')
  const login = text(claims, 'preferred_username')
  const picture = pictureUrl(claims, 'picture')
  const isVerified = emailVerified ?? claims['email_verified'] === true
  return {
    ...(name === undefined ? {} : { name }),
    ...(email === undefined ? {} : { email, emailVerified: isVerified }),
    ...(login === undefined ? {} : { login }),
    ...(picture === undefined ? {} : { pictureUrl: picture }),
  }
}
