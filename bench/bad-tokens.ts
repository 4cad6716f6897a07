/** A flood of tokens that are all wrong, no two alike. */
import { randomBytes } from 'node:crypto'
import { mcpRequest, type Target } from './load.ts'

export interface BadTokens {
  readonly port: number
  readonly path: string
  /** A good token: its header and claims make the forgeries look like ours. */
  readonly real: string
  readonly body: string
}

/** No two alike: noise, a token with an invented tag, and a real one with another signature, in turn. */
export function badTokens({ port, path, real, body }: BadTokens): Target {
  const [header = '', payload = ''] = real.split('.')
  const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString())
  const run = randomBytes(6).toString('base64url')
  let at = 0
  const kinds: readonly ((number: string) => string)[] = [
    (number) => `${run}${number}${'x'.repeat(40)}`,
    (number) => `${header}.${invented(claims, `${run}${number}`)}.${signature(run + number)}`,
    (number) => `${header}.${payload}.${signature(run + number)}`,
  ]
  return {
    port,
    next() {
      const kind = kinds[at % kinds.length]
      const token = kind?.(String(at++).padStart(12, '0'))
      return mcpRequest({ port, path, body, token })
    },
  }
}

function invented(claims: unknown, seed: string): string {
  const jti = seed.padEnd(33, 'x').slice(-33)
  return Buffer.from(JSON.stringify({ ...Object(claims), jti })).toString('base64url')
}

function signature(seed: string): string {
  return `${seed.padEnd(85, 'A')}Q`
}
