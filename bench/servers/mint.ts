/**
 * Tokens without their sign-in: signed with the house's own key, for grants that are in its store;
 * and a memory full of them, without a million signatures.
 */
import type { House } from '../../src/house.ts'
import { createKeys } from '../../src/issuer/keys.ts'
import { type AccessTokenClaims, createJti, signAccessToken } from '../../src/oauth/access-token.ts'
import type { Runtime, Store } from '../../src/ports.ts'
import { TENANT, type Values } from '../../src/records.ts'
import { createSealing } from '../../src/vault/sealing.ts'
import type { BenchPlatform } from './platform.ts'

export interface Copy {
  readonly grantId: string
  readonly userId: string
}
export interface Mint {
  claimsOf(token: string): AccessTokenClaims
  /** As `like`, for another grant and person, signed. */
  token(like: string, copy: Copy): string
  /** The same with a signature of the right shape only. */
  unsigned(like: string, copy: Copy): string
}

export async function createMint(house: {
  readonly issuer: string
  readonly sealingKey: string
  readonly store: Store
  readonly runtime: Runtime
}): Promise<Mint> {
  const { store, runtime } = house
  const sealing = createSealing(
    [new Uint8Array(Buffer.from(house.sealingKey, 'base64url'))],
    runtime,
  )
  const keys = createKeys({ store, sealing, runtime })
  await keys.load()
  const claimsOf: Mint['claimsOf'] = (token) =>
    JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as AccessTokenClaims
  // A million tokens are made like one: it is read once.
  let read = { token: '', header: '', claims: {} as AccessTokenClaims }
  const claimsFor = (like: string, { grantId, userId }: Copy): AccessTokenClaims => {
    if (read.token !== like) {
      read = { token: like, header: like.split('.')[0] ?? '', claims: claimsOf(like) }
    }
    const { claims } = read
    const jti = createJti(runtime, keys.tagKey(), { gid: grantId, exp: claims.exp })
    return { ...claims, jti, sub: userId, gid: grantId }
  }
  return {
    claimsOf,
    token: (like, copy) => signAccessToken(claimsFor(like, copy), keys.current(), runtime),
    unsigned: (like, copy) => {
      const payload = Buffer.from(JSON.stringify(claimsFor(like, copy))).toString('base64url')
      return `${read.header}.${payload}.${SIGNATURE}`
    },
  }
}

const SIGNATURE = `${'A'.repeat(85)}Q`

/**
 * Judges and loads `count` tokens of as many grants and people, as after as many first calls. Only
 * the signature check and the three reads behind a first call are replaced.
 *
 * @returns A sample of the remembered tokens, spread over all of them.
 */
export async function fillMemory(options: {
  readonly platform: BenchPlatform
  readonly house: House
  readonly mint: Mint
  readonly token: string
  readonly count: number
  readonly sample: number
}): Promise<readonly string[]> {
  const { platform, house, mint, token, count } = options
  const { view } = house
  const store = platform.opened()
  const grant = await store.grants.find({ tenant: TENANT, id: mint.claimsOf(token).gid })
  const user = await store.get('user', { tenant: TENANT, id: grant?.userKey ?? '' })
  const vault = await store.get('vault', { tenant: TENANT, id: grant?.vaultId ?? '' })
  if (grant === undefined || user === undefined) throw new Error('nobody is signed in')
  const every = Math.max(1, Math.floor(count / options.sample))
  const sampled: string[] = []
  for (let at = 0; at < count; at++) {
    const number = at.toString(36).padStart(26, '0')
    const userId = `usr_${number}`
    const grantId = `grt_${number}`
    const person = { ...user, value: namedPerson(user.value, userId) }
    platform.stand = {
      find: async () => ({ ...grant, id: grantId, userId }),
      get: async (kind) => (kind === 'user' ? person : vault),
    }
    const made = mint.unsigned(token, { grantId, userId })
    view.judge(made)
    await view.load({ need: 'session', token: made, session: undefined })
    if (at % every === 0 && sampled.length < options.sample) sampled.push(made)
  }
  platform.stand = undefined
  const lost = sampled.filter((made) => view.remembered(made) === undefined).length
  if (lost > 0) throw new Error(`${lost} of ${sampled.length} tokens were not remembered`)
  return sampled
}

/** What is remembered of a person may not be shared with a neighbour. */
function namedPerson(user: Values['user'], userId: string): Values['user'] {
  const login = `person-${userId.slice(-10)}`
  const profile = {
    ...user.profile,
    name: `Person ${login}`,
    email: `${login}@people.example`,
    login,
  }
  return { ...user, userId, subject: login, profile }
}
