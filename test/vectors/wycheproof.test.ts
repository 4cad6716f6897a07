/**
 * Test vectors of Project Wycheproof against everything here that checks a signature. Fetched by the
 * Go client at test time, never committed.
 *
 * A JWS vector is no ID token (its payload is three letters), so what is asked is why it is refused:
 * a right signature fails later, at the claims; a wrong one at the signature or before.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import type { JSONWebKeySet } from 'jose'
import { describe, expect, it, type TestContext } from 'vitest'
import { createNodeRuntime } from '../../src/node/runtime.ts'
import { ALGORITHMS, judgeIdToken } from '../../src/oauth/id-token.ts'
import type { EcJwk } from '../../src/ports.ts'
import { need } from '../kit/needs.ts'

const MODULE = 'github.com/c2sp/wycheproof@v0.0.0-20260902155932-3fa63dd0344a'
const FETCH_DEADLINE_MS = 120_000
/** Reasons that come after the signature was found right. */
const AFTER_SIGNATURE = ['claims', 'expired', 'not_yet', 'issuer', 'audience', 'nonce']

interface Vector {
  readonly tcId: number
  readonly comment: string
  readonly result: 'valid' | 'invalid' | 'acceptable'
  readonly jws?: string
  readonly jwe?: string
  readonly msg?: string
  readonly sig?: string
  readonly flags?: readonly string[]
}
interface Group {
  readonly private?: Key
  readonly public?: Key
  readonly publicKeyJwk?: EcJwk
  readonly tests: readonly Vector[]
}
type Key = Readonly<Record<string, unknown>> & { readonly keys?: readonly Key[] }

let found: Promise<{ value: string } | { missing: string }> | undefined

async function vectors(context: TestContext, name: string): Promise<readonly Group[]> {
  found ??= download()
  const folder = need(context, 'Project Wycheproof', await found)
  const text = await readFile(join(folder, 'testvectors_v1', name), 'utf8')
  return (JSON.parse(text) as { testGroups: readonly Group[] }).testGroups
}

async function download(): Promise<{ value: string } | { missing: string }> {
  try {
    const { stdout } = await promisify(execFile)(
      goProgram(),
      ['mod', 'download', '-json', MODULE],
      {
        timeout: FETCH_DEADLINE_MS,
        cwd: '/',
      },
    )
    return { value: (JSON.parse(stdout) as { Dir: string }).Dir }
  } catch (error) {
    return { missing: `the Go client could not fetch ${MODULE}: ${String(error).slice(0, 200)}` }
  }
}

/** On the path, or where its own installer puts it. */
function goProgram(): string {
  const usual = '/usr/local/go/bin/go'
  const folders = (process.env.PATH ?? '').split(delimiter)
  const isOnPath = folders.some((folder) => existsSync(join(folder, 'go')))
  return !isOnPath && existsSync(usual) ? usual : 'go'
}

/** Only the public half, as a provider publishes it. */
function publicKeys(group: Group): JSONWebKeySet {
  const keys = group.public?.keys ?? group.private?.keys ?? [group.public ?? group.private ?? {}]
  const secret = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth']
  return {
    keys: keys.map((key) =>
      Object.fromEntries(Object.entries(key).filter(([name]) => !secret.includes(name))),
    ),
  } as JSONWebKeySet
}

async function reasonOf(jws: string, jwks: JSONWebKeySet): Promise<string> {
  const judged = await judgeIdToken(jws, {
    jwks,
    issuer: 'https://issuer.example',
    clientId: 'client',
    nonce: undefined,
    nowMs: 1_767_225_600_000,
    algorithms: [...ALGORITHMS],
  })
  return judged.ok ? 'accepted' : judged.reason
}

describe('Project Wycheproof', () => {
  it.each(['json_web_signature_test.json', 'json_web_key_test.json', 'json_web_crypto_test.json'])(
    'B11, J1, J2, J6, VAL-15: %s: no wrong accept',
    async (name, ...[context]) => {
      const wrong: string[] = []
      let [judged, right] = [0, 0]
      for (const group of await vectors(context as unknown as TestContext, name)) {
        const jwks = publicKeys(group)
        for (const { tcId, jws, result } of group.tests) {
          if (typeof jws !== 'string') continue
          judged += 1
          const reason = await reasonOf(jws, jwks)
          const passed = reason === 'accepted' || AFTER_SIGNATURE.includes(reason)
          if (passed) right += 1
          if (passed && result === 'invalid') wrong.push(`${name} ${tcId}: ${reason}`)
        }
      }
      process.stdout.write(`${name}: ${judged} vectors judged, ${right} right signatures\n`)
      expect(wrong).toEqual([])
      expect(right).toBeGreaterThan(0)
    },
  )

  it('B11, J6: ES256 of the runtime agrees with every vector', async (context) => {
    const runtime = createNodeRuntime()
    const wrong: string[] = []
    let judged = 0
    for (const group of await vectors(context, 'ecdsa_secp256r1_sha256_p1363_test.json')) {
      if (group.publicKeyJwk === undefined) continue
      const key = runtime.importVerifyKey(group.publicKeyJwk)
      for (const { tcId, msg = '', sig = '', result } of group.tests) {
        const message = Buffer.from(msg, 'hex')
        // Ours signs text: vectors over bytes that are no text cannot be asked.
        if (!message.equals(Buffer.from(message.toString('utf8'), 'utf8'))) continue
        judged += 1
        const accepted = runtime.verify(
          key,
          message.toString('utf8'),
          Buffer.from(sig, 'hex').toString('base64url'),
        )
        if (accepted !== (result === 'valid')) wrong.push(`${tcId}: ${result}`)
      }
    }
    process.stdout.write(`ES256: ${judged} vectors judged\n`)
    expect(wrong).toEqual([])
    expect(judged).toBeGreaterThan(100)
  })
})
