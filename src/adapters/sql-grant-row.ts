/**
 * Grants and revocation marks between row and value. Searched and guarded fields have columns; what
 * never changes after creation is JSON in `data`.
 */
import { StoreError } from '../errors.ts'
import { type Grant, MARK_KINDS, type RevocationRow } from '../records.ts'
import {
  encodeValue,
  keyText,
  numberOf,
  optionalKeyText,
  optionalNumberOf,
  optionalTextOf,
  optionalWholeNumber,
  type Row,
  type Statement,
  textOf,
  wholeNumber,
} from './sql.ts'

export function createGrantStatement(grant: Grant): Statement {
  const { scopes, redirectUri, codeChallenge, authTimeSeconds, userKey } = grant
  const { acr, tellsAuthentication, jkt } = grant
  return {
    sql: `INSERT INTO grants (tenant, id, user_id, client_id, resource, vault_id, session_id, state,
      cause, code_digest, code_expires_at, redeemed_at, refresh_current, refresh_previous,
      refresh_successor, refresh_generation, refresh_grace_until, created_at, absolute_expires_at,
      expires_at, data, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
      ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22) ON CONFLICT (tenant, id) DO NOTHING`,
    args: [
      keyText(grant.tenant),
      keyText(grant.id),
      keyText(grant.userId),
      keyText(grant.clientId),
      keyText(grant.resource),
      keyText(grant.vaultId),
      optionalKeyText(grant.sessionId),
      grant.state,
      optionalKeyText(grant.cause),
      keyText(grant.codeDigest),
      wholeNumber(grant.codeExpiresAtMs),
      grant.state === 'pending' ? null : grant.createdAtMs,
      optionalKeyText(grant.refreshCurrent),
      optionalKeyText(grant.refreshPrevious),
      optionalKeyText(grant.refreshSuccessor),
      wholeNumber(grant.refreshGeneration),
      optionalWholeNumber(grant.refreshGraceUntilMs),
      wholeNumber(grant.createdAtMs),
      wholeNumber(grant.absoluteExpiresAtMs),
      wholeNumber(grant.expiresAtMs),
      encodeValue({
        scopes,
        redirectUri,
        codeChallenge,
        authTimeSeconds,
        userKey,
        acr,
        tellsAuthentication,
        jkt,
      }),
      wholeNumber(grant.version),
    ],
  }
}

type GrantData = Pick<
  Grant,
  | 'scopes'
  | 'redirectUri'
  | 'codeChallenge'
  | 'authTimeSeconds'
  | 'userKey'
  | 'acr'
  | 'tellsAuthentication'
  | 'jkt'
>

/** `data` of a grant that is bound to a key from now on; nothing else in it ever changes. */
export function boundData(row: Row | undefined, jkt: string): string | null {
  if (row === undefined) return null
  return encodeValue({ ...dataOf(row), jkt: keyText(jkt) })
}

function dataOf(row: Row): GrantData {
  try {
    return JSON.parse(textOf(row, 'data')) as GrantData
  } catch (cause) {
    throw new StoreError('ERR_STORE_CORRUPT', 'not-applied', cause)
  }
}

export function grantOf(row: Row): Grant {
  return {
    ...dataOf(row),
    tenant: textOf(row, 'tenant'),
    id: textOf(row, 'id'),
    userId: textOf(row, 'user_id'),
    clientId: textOf(row, 'client_id'),
    resource: textOf(row, 'resource'),
    vaultId: textOf(row, 'vault_id'),
    sessionId: optionalTextOf(row, 'session_id'),
    state: stateOf(row),
    cause: optionalTextOf(row, 'cause'),
    codeDigest: textOf(row, 'code_digest'),
    codeExpiresAtMs: numberOf(row, 'code_expires_at'),
    refreshCurrent: optionalTextOf(row, 'refresh_current'),
    refreshPrevious: optionalTextOf(row, 'refresh_previous'),
    refreshSuccessor: optionalTextOf(row, 'refresh_successor'),
    refreshGeneration: numberOf(row, 'refresh_generation'),
    refreshGraceUntilMs: optionalNumberOf(row, 'refresh_grace_until'),
    createdAtMs: numberOf(row, 'created_at'),
    absoluteExpiresAtMs: numberOf(row, 'absolute_expires_at'),
    expiresAtMs: numberOf(row, 'expires_at'),
    version: numberOf(row, 'version'),
  }
}

function stateOf(row: Row): Grant['state'] {
  const state = textOf(row, 'state')
  if (state === 'pending' || state === 'active' || state === 'ended') return state
  throw new StoreError('ERR_STORE_CORRUPT', 'not-applied')
}

export function markOf(row: Row): RevocationRow {
  const kind = MARK_KINDS.find((name) => name === row['kind'])
  // An unknown kind is a newer release's mark: refusing to go on is the safe reading.
  if (kind === undefined) throw new StoreError('ERR_STORE_CORRUPT', 'not-applied')
  return {
    sequence: numberOf(row, 'sequence'),
    tenant: textOf(row, 'tenant'),
    kind,
    id: textOf(row, 'id'),
    issuedBeforeMs: numberOf(row, 'issued_before'),
    expiresAtMs: numberOf(row, 'expires_at'),
    cause: optionalTextOf(row, 'cause'),
  }
}
