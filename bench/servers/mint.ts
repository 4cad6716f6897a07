/**
 * Tokens without their sign-in: signed with the house's own key, for grants that are in its store;
 * and a memory full of them, without a million signatures.
 */
import type { House } from '../../src/house.ts'
import { createKeys } from '../../src/issuer/keys.ts'
import { type AccessTokenClaims, createJti, signAccessToken } from '../../src/oauth/access-token.ts'
import type { Runtime, Store } from '../../src/ports.ts'
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
  const sealing = createSealing([new Uint8Array(Buffer.from(house.sealingKey, 'base64url'))], runtime)
  const keys = createKeys({ store, sealing, runtime })
  await keys.load()
  const claimsOf: Mint['claimsOf'] = (token) =>
    JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as AccessTokenClaims
  const claimsFor = (like: string, { grantId, userId }: Copy): AccessTokenClaims => {
    const claims = claimsOf(like)
    const jti = createJti(runtime, keys.tagKey(), { gid: grantId, exp: claims.exp })
    return { ...claims, jti, sub: userId, gid: grantId }
  }
  return {
    claimsOf,
    token: (like, copy) => signAccessToken(claimsFor(like, copy), keys.current(), runtime),
    unsigned: (like, copy) => {
      const [header = ''] = like.split('.')
      const payload = Buffer.from(JSON.stringify(claimsFor(like, copy))).toString('base64url')
      return `${header}.${payload}.${SIGNATURE}`
    },
  }
}

const SIGNATURE = `${'A'.repeat(85)}Q`

/** @returns A sample of the remembered tokens, spread over all of them. */
export async function fakeTokens(options: {
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
  const real = await store.grants.find({ tenant: 'default', id: mint.claimsOf(token).gid })
  if (real === undefined) throw new Error('the real grant is gone')
  const user = await store.get('user', { tenant: 'default', id: real.userKey })
  if (user === undefined) throw new Error('the real person is gone')
  const every = Math.max(1, Math.floor(count / options.sample))
  const sampled: string[] = []
  platform.stand.verify = true
  platform.stand.grants = async ({ id }) => ({ ...real, id, userId: `usr_${id.slice(4)}` })
  platform.stand.get = (async (kind: string, key: { id: string }) =>
    kind === 'user' ? { ...user, value: person(user.value, current) } : await vaultOf(store, platform, key)) as Store['get']
  let current = ''
  for (let at = 0; at < count; at++) {
    current = `usr_${at.toString(36).padStart(22, '0')}`
    const made = mint.unsigned(token, { grantId: `gra_${current.slice(4)}`, userId: current })
    view.judge(made)
    await view.load({ need: 'session', token: made, session: undefined })
    if (at % every === 0 && sampled.length < options.sample) sampled.push(made)
  }
  delete platform.stand.verify
  delete platform.stand.grants
  delete platform.stand.get
  const lost = sampled.filter((made) => view.remembered(made) === undefined).length
  if (lost > 0) throw new Error(`${lost} of ${sampled.length} tokens were not remembered`)
  return sampled
}

type User = NonNullable<Awaited<ReturnType<Store['get']>>>['value'] & { profile: object }

/** A person of their own: what is remembered may not be shared with a neighbour. */
function person<U>(value: U, userId: string): U {
  const { profile } = value as User
  const login = `person-${userId.slice(-8)}`
  return {
    ...value,
    userId,
    subject: `${login}-subject`,
    profile: { ...profile, name: `Person ${login}`, email: `${login}@people.example`, login },
  }
}

let vault: unknown
async function vaultOf(store: Store, platform: BenchPlatform, key: { id: string }): Promise<unknown> {
  if (vault !== undefined) return vault
  const { get } = platform.stand
  delete platform.stand.get
  vault = await store.get('vault', { tenant: 'default', id: key.id })
  if (get !== undefined) platform.stand.get = get
  return vault
}
