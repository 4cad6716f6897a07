/**
 * May this person still use this connector: asked before their token is handed to a program, by the same
 * rule and from the same facts as pages and calls (O6, PRV-22).
 *
 * Where everybody may, nothing is read. Elsewhere a yes is remembered for some seconds.
 */
import { LRUCache } from 'lru-cache'
import type { Config, ConnectorConfig } from '../../config.ts'
import { judgePerson, userKeyOf } from '../../issuer/admission.ts'
import type { Memberships } from '../../issuer/memberships.ts'
import type { Verdict } from '../../oauth/allow.ts'
import type { Runtime, Store } from '../../ports.ts'
import { TENANT } from '../../records.ts'

export interface TokenAdmissionDeps {
  readonly config: Pick<Config, 'allow' | 'development' | 'providers'>
  readonly store: Pick<Store, 'list'>
  readonly runtime: Pick<Runtime, 'sha256' | 'monotonicMs'>
  readonly memberships?: Pick<Memberships, 'asks' | 'belonging' | 'memberships' | 'resolve'>
}

/** `unknown`: the provider's word is missing. @throws {StoreError} when the store cannot be read. */
export type TokenAdmission = (
  userId: string,
  connector: Pick<ConnectorConfig, 'name' | 'allow'>,
) => Promise<Verdict>

const REMEMBERED_MS = 5_000
const REMEMBERED_MAX = 10_000
/** Longest wait for facts that are too old. */
const FACTS_DEADLINE_MS = 2_000

export function createTokenAdmission(deps: TokenAdmissionDeps): TokenAdmission {
  const { config, store, runtime, memberships } = deps
  const rules = { config, runtime, ...(memberships && { known: memberships }) }
  const admittedUntilMs = new LRUCache<string, number>({ max: REMEMBERED_MAX })
  const { allow = config.development ? 'anyone' : undefined } = config
  return async (userId, connector) => {
    if (allow === 'anyone' && (connector.allow ?? 'anyone') === 'anyone') return 'in'
    const name = `${connector.name}\n${userId}`
    if (runtime.monotonicMs() < (admittedUntilMs.get(name) ?? 0)) return 'in'
    const [user] = await store.list('user', TENANT, { name: 'userId', value: userId }, { max: 1 })
    if (user?.value.state !== 'active') return 'out'
    const judge = (): Verdict => judgePerson(rules, user.value, connector.allow, 'current')
    let verdict = judge()
    if (verdict === 'unknown' && memberships !== undefined) {
      const { provider } = user.value
      await memberships.resolve(userKeyOf(runtime, user.value), provider, FACTS_DEADLINE_MS)
      verdict = judge()
    }
    if (verdict === 'in') admittedUntilMs.set(name, runtime.monotonicMs() + REMEMBERED_MS)
    else admittedUntilMs.delete(name)
    return verdict
  }
}
