/**
 * B11: JWTs that no door may take, made of a good one: cut, joined, changed, signed by nobody, by
 * somebody else, or by the right key over wrong claims or under a wrong header.
 */
import { createHmac } from 'node:crypto'
import * as jose from 'jose'
import { checkFamily, countOf, createDraw, SEED } from './family.ts'
import { oddTimes } from './hostile.ts'

export interface Forge {
  /** A good token that was never presented; its identifiers differ each time. */
  good(): Promise<string>
  /** The right key over any claims and header, on top of good ones. */
  sign(claims: Readonly<Record<string, unknown>>, header?: object): Promise<string>
  /** The public key that verifies, as it is published. */
  readonly jwk: object
  /** Changes to good claims that this door must refuse, signed by the right key. */
  readonly wrongClaims: readonly Readonly<Record<string, unknown>>[]
  /** Changes to the good header that this door must refuse, signed by the right key. */
  readonly wrongHeaders: readonly Readonly<Record<string, unknown>>[]
}

const encoder = new TextEncoder()
const part = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const read = (text: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(text, 'base64url').toString()) as Record<string, unknown>

const RAW_PARTS = ['', 'null', '[]', '1', '"x"', '{', '{}', '{}{}', '\ufeff{}', '[{}]', '{"a":1}x']

/** @param count All kinds come once before the rest is filled with changed characters. */
export async function hostileTokens(forge: Forge, count: number): Promise<string[]> {
  const draw = createDraw()
  const tokens = await wrongTokens(forge)
  const first = tokens.toSorted(() => draw.whole(3) - 1).slice(0, Math.ceil(count * 0.7))
  while (first.length < count) {
    const good = await forge.good()
    // The last character of a signature has bits that mean nothing to some readers.
    const at = draw.whole(good.length - 2)
    const character = draw.pick([...'AZaz09-_.=+/ é'])
    const changed = good.slice(0, at) + character + good.slice(at + draw.whole(2))
    if (changed !== good) first.push(changed)
  }
  return first
}

async function wrongTokens(forge: Forge): Promise<string[]> {
  const good = await forge.good()
  const [head = '', payload = '', signature = ''] = good.split('.')
  const header = read(head)
  const stranger = await jose.generateKeyPair('ES256', { extractable: true })
  const strangerJwk = await jose.exportJWK(stranger.publicKey)
  const signedBy = (changes: object): Promise<string> =>
    new jose.SignJWT(read(payload) as jose.JWTPayload)
      .setProtectedHeader({ ...header, alg: 'ES256', ...changes } as jose.JWTHeaderParameters)
      .sign(stranger.privateKey)
  const mac = (algorithm: 'sha256' | 'sha512', alg: string, key: string): string => {
    const input = `${part({ ...header, alg })}.${payload}`
    return `${input}.${createHmac(algorithm, key).update(input).digest('base64url')}`
  }
  const published = JSON.stringify(forge.jwk)
  const withAlg = (alg: unknown): string => `${part({ ...header, alg })}.${payload}.${signature}`
  const strangers = [
    {},
    { jku: 'https://evil.example/jwks' },
    { x5u: 'https://evil.example/cert', x5c: ['MIIB'] },
    { kid: 'other' },
    { kid: '../../key' },
    { kid: "' or 1=1 --" },
    { kid: 'k'.repeat(5_000) },
    { kid: undefined },
  ]
  return [
    '',
    '.',
    '..',
    '...',
    'x',
    'a.b.c',
    `${part({ alg: 'none' })}.${payload}.`,
    ...['none', 'None', 'NONE', 'nOnE', '', null, 256, ['ES256'], {}].flatMap((alg) => [
      withAlg(alg),
      `${part({ ...header, alg })}.${payload}.`,
    ]),
    ...['HS256', 'HS512', 'RS256', 'PS256', 'ES384', 'ES512', 'es256', 'ES256 ', 'ES256K'].map(
      withAlg,
    ),
    mac('sha256', 'HS256', published),
    mac('sha256', 'ES256', published),
    mac('sha512', 'HS512', published),
    mac('sha256', 'HS256', ''),
    `${head}.${payload}.`,
    `${head}.${payload}`,
    `${head}..${signature}`,
    `.${payload}.${signature}`,
    `${payload}.${head}.${signature}`,
    `${head}.${payload}.${signature}.`,
    `${head}.${payload}.${signature}.${signature}.${signature}`,
    `${head}.${payload}.${Buffer.alloc(64).toString('base64url')}`,
    `${head}.${payload}.${Buffer.alloc(64, 255).toString('base64url')}`,
    `${head}.${payload}.${Buffer.alloc(70, 1).toString('base64url')}`,
    `${head}.${payload}.${signature.slice(0, -8)}`,
    `${head}.${payload}.${part('MEUCIQ')}`,
    `${head}=.${payload}.${signature}`,
    `"${good}"`,
    ` ${good}`,
    `${good}\n`,
    JSON.stringify({ protected: head, payload, signature }),
    JSON.stringify({ payload, signatures: [{ protected: head, signature }] }),
    good.toLowerCase(),
    'a'.repeat(50_000),
    `${head}.${'a'.repeat(40_000)}.${signature}`,
    ...RAW_PARTS.flatMap((text) => [
      `${part(text)}.${payload}.${signature}`,
      `${head}.${part(text)}.${signature}`,
    ]),
    ...(await Promise.all([
      ...strangers.map(signedBy),
      signedBy({ jwk: strangerJwk, kid: undefined }),
      ...forge.wrongClaims.map((claims) => forge.sign(claims)),
      ...forge.wrongHeaders.map((changes) => forge.sign({}, changes)),
      new jose.CompactEncrypt(encoder.encode(payload))
        .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM' })
        .encrypt(await jose.importJWK({ ...forge.jwk, alg: 'ECDH-ES' }, 'ECDH-ES')),
    ])),
  ]
}

/** A place that takes a JWT. */
export interface TokenDoor extends Forge {
  readonly name: string
  /** Whether it was believed. Throws when the refusal is the wrong one. */
  present(token: string): Promise<boolean>
  /** False: cannot be sent there at all, for instance in a header. */
  carries?(token: string): boolean
}

/** B11 at one door: a good token is taken, none of the hostile ones is. */
export async function checkTokenDoor(door: TokenDoor, full = 500): Promise<void> {
  expectTaken(door, await door.present(await door.good()))
  const carries = door.carries ?? (() => true)
  const tokens = (await hostileTokens(door, countOf(full))).filter(carries)
  await checkFamily(`B11 ${door.name}`, tokens, async (token) => !(await door.present(token)))
  expectTaken(door, await door.present(await door.good()))
}

/** One hostile token of many, for a door whose tokens must fit the moment (a nonce). */
export async function hostileTokenAt(forge: Forge, index: number): Promise<string> {
  const draw = createDraw(SEED + index)
  const tokens = await wrongTokens(forge)
  const one = tokens[(index + SEED) % tokens.length] ?? ''
  if (index < tokens.length) return one
  const good = await forge.good()
  for (;;) {
    const at = draw.whole(good.length - 2)
    const changed = good.slice(0, at) + draw.pick([...'-_.=+/ é']) + good.slice(at + draw.whole(2))
    if (changed !== good) return changed
  }
}

/** Last second of the year 9999. */
const TIME_MAX_SECONDS = 253_402_300_799
const SKEW_SECONDS = 60

/** B23 at one door (J4): what is no time, is over, or is yet to come is refused; what means nothing may pass. */
export async function checkClockDoor(
  door: TokenDoor,
  nowSeconds: () => number,
  names: readonly string[],
): Promise<void> {
  // Few enough to be told each time.
  const cases = names.flatMap((name) => oddTimes(nowSeconds()).map((value) => ({ name, value })))
  await checkFamily(`B23 ${door.name}`, cases, async ({ name, value }) => {
    const isTaken = await door.present(await door.sign({ [name]: value }))
    return !(isTaken && isWrongTime(name, value, nowSeconds()))
  })
  expectTaken(door, await door.present(await door.good()))
}

/** Whether nobody may believe this time claim. */
export function isWrongTime(name: string, value: unknown, now: number): boolean {
  if (typeof value !== 'number' || value > TIME_MAX_SECONDS) return true
  return name === 'exp' ? value < now - SKEW_SECONDS : value > now + SKEW_SECONDS
}

function expectTaken({ name }: TokenDoor, isTaken: boolean): void {
  if (!isTaken) throw new Error(`${name}: a good token was refused, so no refusal means anything`)
}
