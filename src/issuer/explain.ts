/**
 * What a token is and what would be refused about it, for the operator of this house: every check of
 * a call, each made on its own, so that one answer names all that is wrong. Reads the store, writes
 * nothing, and never repeats the token.
 */
import type { Config } from '../config.ts'
import { audienceMistake } from '../mistakes.ts'
import { type AccessTokenClaims, judgeAccessToken } from '../oauth/access-token.ts'
import { type JsonObject, readPart } from '../oauth/claims.ts'
import { parseRefreshToken } from '../oauth/refresh-token.ts'
import { canonicalResource } from '../oauth/urls.ts'
import type { Runtime, Store } from '../ports.ts'
import type { Grant } from '../records.ts'
import { ourScopeWords } from '../ui/words.ts'
import { scopeTitles } from './consent-page.ts'
import { ago, standingOf } from './explain-standing.ts'
import type { IssuerKeys } from './house.ts'
import { key } from './ids.ts'

/** Longer than any token that a header can carry. */
export const TOKEN_MAX_CHARS = 65_536

export interface Explanation {
  readonly form: 'access token' | 'refresh token' | 'JWT' | 'unknown'
  readonly ours: boolean
  /** Label and text, in the order in which they are shown. */
  readonly facts: readonly (readonly [string, string])[]
  readonly problems: readonly Problem[]
}

/** Why a call with it would be refused. `reason` is the word of the log. */
export interface Problem {
  readonly reason: string
  readonly problem: string
  readonly fix?: string
  readonly code?: string
}

export interface ExplainDeps {
  readonly config: Config
  readonly runtime: Runtime
  readonly keys: Pick<IssuerKeys, 'verifyKeys' | 'tagKey' | 'refreshTagKey'>
  readonly store: Pick<Store, 'get'> & {
    readonly grants: Pick<Store['grants'], 'find' | 'revocationsSince'>
  }
}

/** @param asked The server URL that it is used at; absent: any of this house. */
export async function explainToken(
  deps: ExplainDeps,
  token: string,
  asked?: string,
): Promise<Explanation> {
  if (token.startsWith('ptr_')) return explainRefreshToken(deps, token)
  const parts = readJwt(token)
  if (parts === undefined) return notOurs('unknown', [], 'opaque', 'this is no token of ours')
  const { header, payload } = parts
  if (payload['iss'] !== deps.config.issuer) return explainForeign(deps, header, payload)
  return explainAccessToken(deps, token, payload, asked)
}

async function explainRefreshToken(deps: ExplainDeps, token: string): Promise<Explanation> {
  const parsed = parseRefreshToken(token, deps.keys.refreshTagKey(), deps.runtime)
  if (parsed === undefined) {
    const problem =
      'its tag was not made here: another Postern, another database, or a changed text'
    return notOurs('refresh token', [], 'refresh_unknown', problem)
  }
  const grant = await deps.store.grants.find(key(parsed.grantId))
  const { facts, problems } = await standingOf(deps, parsed.grantId, grant)
  return {
    form: 'refresh token',
    ours: true,
    facts: [...facts, ['generation', String(parsed.generation)]],
    problems: [...problems, ...replayProblems(deps, grant, token, parsed.generation)],
  }
}

/** flows.md section 9: only the head of the family, and the one before it for a minute. */
function replayProblems(
  { runtime }: ExplainDeps,
  grant: Grant | undefined,
  token: string,
  generation: number,
): readonly Problem[] {
  if (grant?.state !== 'active') return []
  const presented = runtime.sha256(token)
  if (runtime.equal(grant.refreshCurrent ?? '', presented)) return []
  const isGrace =
    runtime.equal(grant.refreshPrevious ?? '', presented) &&
    (grant.refreshGraceUntilMs ?? 0) > runtime.nowMs()
  if (isGrace) return []
  return [
    {
      reason: 'refresh_reused',
      problem: `it was used: the grant is at generation ${grant.refreshGeneration}, this is ${generation}. Sent once more it ends the grant.`,
      fix: 'Keep the newest refresh token only; do not share one between two programs.',
    },
  ]
}

async function explainAccessToken(
  deps: ExplainDeps,
  token: string,
  payload: JsonObject,
  asked: string | undefined,
): Promise<Explanation> {
  const { config, runtime, keys } = deps
  const issuedSeconds = typeof payload['iat'] === 'number' ? payload['iat'] : 0
  const judged = judgeAccessToken(token, {
    keys: keys.verifyKeys(),
    tagKey: keys.tagKey(),
    issuer: config.issuer,
    // Its own time: whether it has expired is a question of its own.
    nowSeconds: issuedSeconds,
    runtime,
  })
  if (!judged.ok) {
    const problem = JUDGEMENTS[judged.reason] ?? 'it is not a token that this server made'
    return notOurs('access token', claimFacts(payload), judged.reason, problem)
  }
  const { claims, keyId } = judged
  const grant = await deps.store.grants.find(key(claims.gid))
  const standing = await standingOf(deps, claims.gid, grant, { claims, keyId })
  return {
    form: 'access token',
    ours: true,
    facts: [...claimFacts(claims), ...scopeFacts(config, claims), ...standing.facts],
    problems: [
      ...timeProblems(claims, runtime.nowMs()),
      ...audienceProblems(config, claims.aud, asked),
      ...scopeProblems(claims),
      ...standing.problems,
    ],
  }
}

const JUDGEMENTS: Readonly<Record<string, string>> = {
  malformed: 'it is not three parts of base64url with an ES256 signature, or a part was cut',
  tag: 'the tag in its jti was not made here: another database, or changed claims',
  algorithm: 'its header does not say ES256',
  typ: 'its header does not say at+jwt: it is another kind of token',
  unknown_key: 'the key that signed it is not in our key set: withdrawn, expired, or never ours',
  signature: 'its signature does not fit: it was changed after it was signed',
  claims: 'a claim is missing or has another type than ours have',
  not_yet: 'it says that it was made in the future',
}

function timeProblems(claims: AccessTokenClaims, nowMs: number): readonly Problem[] {
  if (claims.exp * 1000 > nowMs) return []
  return [
    {
      reason: 'expired',
      problem: `it expired ${ago(nowMs - claims.exp * 1000)} ago.`,
      fix: 'The client gets a new one with its refresh token.',
    },
  ]
}

/** `ERR_TOKEN_AUDIENCE` (api.md section 6). */
function audienceProblems(
  config: Config,
  audience: string,
  asked: string | undefined,
): readonly Problem[] {
  const known = resourcesOf(config)
  const wanted = asked === undefined ? undefined : (canonicalResource(asked) ?? asked)
  if (wanted === undefined ? known.includes(audience) : wanted === audience) return []
  const [only, ...others] = known
  const place =
    wanted ??
    (only !== undefined && others.length === 0 ? only : 'any server of this configuration')
  return [{ reason: 'audience', ...audienceMistake(audience, place) }]
}

function resourcesOf(config: Config): readonly string[] {
  return [
    ...config.connectors.filter(({ enabled }) => enabled).map(({ resource }) => resource),
    ...config.resources.map(({ url }) => url),
  ].map((resource) => canonicalResource(resource) ?? resource)
}

/** What each scope lets a client do, in the words of the consent page. */
function scopeFacts(config: Config, { aud, scope }: AccessTokenClaims): Explanation['facts'] {
  const connector = config.connectors.find(({ resource }) => canonicalResource(resource) === aud)
  const titles = scopeTitles(connector === undefined ? undefined : { connector })
  const scopes = scope.split(' ').filter((name) => name !== '')
  return ourScopeWords(scopes, titles).map(
    ({ scope: name, words }) => [`  ${printed(name)}`, printed(words)] as const,
  )
}

function scopeProblems({ scope }: AccessTokenClaims): readonly Problem[] {
  if (scope !== '') return []
  return [{ reason: 'scope', problem: 'it has no scope, and every call needs one.' }]
}

function explainForeign(deps: ExplainDeps, header: JsonObject, payload: JsonObject): Explanation {
  const issuer = typeof payload['iss'] === 'string' ? payload['iss'] : undefined
  const problem =
    issuer === undefined
      ? `it names no issuer; ours say ${deps.config.issuer}`
      : `its issuer is ${printed(issuer)}, ours is ${deps.config.issuer}`
  const facts = [...labelled('header', header), ...labelled('claim', payload)]
  return notOurs('JWT', facts, 'issuer', problem)
}

function notOurs(
  form: Explanation['form'],
  facts: Explanation['facts'],
  reason: string,
  problem: string,
): Explanation {
  return { form, ours: false, facts, problems: [{ reason, problem: `${problem}.` }] }
}

/** Header and claims of anything that looks like a signed JWT. Nothing of it is believed. */
function readJwt(
  token: string,
): { readonly header: JsonObject; readonly payload: JsonObject } | undefined {
  const parts = token.split('.')
  if (parts.length !== 3 || token.length > TOKEN_MAX_CHARS) return undefined
  const [header, payload] = parts.slice(0, 2).map((part) => readPart(part))
  return header === undefined || payload === undefined ? undefined : { header, payload }
}

/** In words where we know them; `jti` says nothing to anybody. */
function claimFacts(claims: object): Explanation['facts'] {
  const known = claims as JsonObject
  const times = ['iat', 'exp', 'auth_time'].flatMap((name) => {
    const seconds = known[name]
    return typeof seconds === 'number'
      ? [[TIME_WORDS[name] ?? name, timeText(seconds)] as const]
      : []
  })
  const texts = (['aud', 'sub', 'client_id', 'scope', 'acr', 'gid'] as const).flatMap((name) => {
    const text = known[name]
    return typeof text === 'string' ? [[CLAIM_WORDS[name], printed(text)] as const] : []
  })
  const bound =
    known['cnf'] === undefined ? [] : [['bound to', 'a key: calls need a DPoP proof'] as const]
  const acted = known['act'] === undefined ? [] : [['acting', printed(known['act'])] as const]
  return [...texts, ...times, ...bound, ...acted]
}

const CLAIM_WORDS = {
  aud: 'for',
  sub: 'user',
  client_id: 'client',
  scope: 'scope',
  acr: 'signed in by',
  gid: 'grant',
} as const
const TIME_WORDS: Readonly<Record<string, string>> = {
  iat: 'issued',
  exp: 'expires',
  auth_time: 'signed in',
}
/** Last second of the year 9999. */
const TIME_MAX_SECONDS = 253_402_300_799

function timeText(seconds: number): string {
  return seconds >= 0 && seconds <= TIME_MAX_SECONDS
    ? new Date(seconds * 1000).toISOString()
    : String(seconds)
}

function labelled(kind: string, values: JsonObject): Explanation['facts'] {
  return Object.entries(values)
    .slice(0, FACTS_MAX)
    .map(([name, value]) => [`${kind} ${printed(name)}`, printed(value)] as const)
}

const FACTS_MAX = 50
const FACT_MAX_CHARS = 300

/** On a terminal a stranger's text must not move the cursor: ASCII, bounded. */
function printed(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  const ascii = text.replace(/[^\x20-\x7e]/gu, '?')
  return ascii.length <= FACT_MAX_CHARS ? ascii : `${ascii.slice(0, FACT_MAX_CHARS)}...`
}
