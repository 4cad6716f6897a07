/**
 * Scopes in words, for people: ours, and those that the sign-in provider is asked for (CON-04).
 * An unknown scope is shown as it is, never hidden.
 */
import { shownText } from './text.ts'

const OUR_SCOPES: Readonly<Record<string, string>> = {
  mcp: 'Use every tool of this server in your name',
}

const PROVIDER_SCOPES: Readonly<Record<string, string>> = {
  openid: 'know who you are',
  profile: 'read your name and picture',
  email: 'read your e-mail address',
  offline_access: 'stay signed in',
  user: 'read and change your profile',
  'read:user': 'read your profile',
  'user:email': 'read your e-mail addresses',
  'read:org': 'read which organisations and teams you belong to',
  repo: 'read and change your repositories, private ones included',
  public_repo: 'read and change your public repositories',
  gist: 'read and change your gists',
}

export interface ScopeWords {
  readonly scope: string
  readonly words: string
}

/** @param titles Words of the operator; they come first. */
export function ourScopeWords(
  scopes: readonly string[],
  titles: ReadonlyMap<string, string> = new Map(),
): readonly ScopeWords[] {
  return scopes.map((scope) => ({
    scope,
    words:
      shownText(titles.get(scope)) ||
      OUR_SCOPES[scope] ||
      `Use what this server calls “${shownText(scope)}”`,
  }))
}

const CLAIMS: Readonly<Record<string, string>> = {
  name: 'your name',
  email: 'your e-mail address',
  email_verified: 'your e-mail address',
  login: 'your user name',
  preferred_username: 'your user name',
  picture: 'your picture',
  avatar_url: 'your picture',
  groups: 'the groups you belong to',
}

/** Claims of an identity in words, each thing once. */
export function claimWords(claims: readonly string[]): readonly string[] {
  return [...new Set(claims.map((claim) => CLAIMS[claim] ?? shownText(claim)))]
}

export function providerScopeWords(scopes: readonly string[]): readonly ScopeWords[] {
  return scopes.map((scope) => ({ scope, words: PROVIDER_SCOPES[scope] ?? shownText(scope) }))
}

/** Scopes of somebody else's server: in words where they are a habit of everybody, else as they are. */
export function connectorScopeWords(scopes: readonly string[]): readonly ScopeWords[] {
  return scopes.map((scope) => {
    const habit = COMMON_SCOPES[scope]
    return { scope, words: habit ?? shownText(scope) }
  })
}

const COMMON_SCOPES: Readonly<Record<string, string>> = {
  openid: 'Know who you are there',
  profile: 'Read your name and picture',
  email: 'Read your e-mail address',
  offline_access: 'Stay connected while you are away',
}
