/**
 * The links that a tool call answers with when a person has to connect an account first (flows.md
 * section 8): whom they are for is sealed into the URL, so nothing is written and nothing personal can
 * be read. A link gives no access: who opens it signs in here, and must be the one it was made for.
 * @see requirements CLI-12, CLI-13, threat O1
 */

import type { Config } from '../../config.ts'
import type { Runtime } from '../../ports.ts'
import { TENANT } from '../../records.ts'

export const LINK_TTL_MS = 900_000
/** Larger than any link we make, and short enough for every browser and chat. */
export const LINK_MAX_CHARACTERS = 6_144
/** Of what is sealed: three quarters of a link, without nonce, tag and end of life. */
const FACTS_MAX_CHARACTERS = 4_400
const ASSOCIATED_DATA = JSON.stringify([TENANT, 'link'])

export interface LinkFacts {
  readonly userId: string
  readonly connector: string
  /** Of the client whose call needs the connection. */
  readonly clientId: string
  /** As it calls itself; shown as a claim, never as a fact. */
  readonly clientName?: string
  /** What the server asks for (RFC 6750 section 3.1); empty: the usual. */
  readonly scopes: readonly string[]
}

export interface Link extends LinkFacts {
  readonly expiresAtMs: number
}

export interface LinkHouse {
  readonly config: Pick<Config, 'issuer' | 'prefix'>
  readonly runtime: Pick<Runtime, 'seal' | 'open' | 'nowMs'>
  readonly keys: { ticketKey(): Uint8Array }
}

/** The whole URL; good for 15 minutes. */
export function sealLink({ config, runtime, keys }: LinkHouse, facts: LinkFacts): string {
  const link: Link = {
    ...withinLink(facts),
    expiresAtMs: Math.trunc(runtime.nowMs()) + LINK_TTL_MS,
  }
  const sealed = runtime.seal(keys.ticketKey(), JSON.stringify(link), ASSOCIATED_DATA)
  return `${config.issuer}${config.prefix}/connect/${facts.connector}?link=${sealed}`
}

/** A server may want more scopes than fit: a link that opens without the last of them is better than none. */
function withinLink(facts: LinkFacts): LinkFacts {
  let left = FACTS_MAX_CHARACTERS - JSON.stringify({ ...facts, scopes: [] }).length
  const scopes = facts.scopes.filter((scope) => {
    const size = JSON.stringify(scope).length + 1
    if (size > left) return false
    left -= size
    return true
  })
  return { ...facts, scopes }
}

/** @param sealed Value of `link`. `undefined`: not ours. */
export function openLink(
  { runtime, keys }: Pick<LinkHouse, 'runtime' | 'keys'>,
  sealed: string,
): Link | 'expired' | undefined {
  if (sealed.length > LINK_MAX_CHARACTERS) return undefined
  const text = runtime.open(keys.ticketKey(), sealed, ASSOCIATED_DATA)
  if (text === undefined) return undefined
  // Sealed by us with this key and purpose, so its shape is ours.
  const link = JSON.parse(text) as Link
  return link.expiresAtMs <= runtime.nowMs() ? 'expired' : link
}
