/** One answer from every Runtime: Node and real workerd must agree on signatures, seals, digests. */
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { Miniflare } from 'miniflare'
import { afterAll, describe, expect, it } from 'vitest'
import { createNodeRuntime } from '../../src/node/runtime.ts'
import type { EcJwk } from '../../src/ports.ts'

const KEY = new Uint8Array(32).fill(9)
const SOURCES = ['src/workers/runtime.ts', 'src/node/crypto.ts']
const ENTRY = `
import { createWorkersRuntime } from './src/workers/runtime.ts'
export default {
  async fetch(request, env, context) {
    const runtime = createWorkersRuntime({ waitUntil: (work) => context.waitUntil(work) })
    const { jwk, sealed } = await request.json()
    const key = new Uint8Array(32).fill(9)
    const made = runtime.createSigningJwk()
    const own = runtime.sign(runtime.importSigningKey(made), 'data')
    return Response.json({
      sharesPromises: runtime.sharesPromises,
      signature: runtime.sign(runtime.importSigningKey(jwk), 'data'),
      verified: runtime.verify(runtime.importVerifyKey(made), 'data', own),
      refused: runtime.verify(runtime.importVerifyKey(jwk), 'data', own),
      opened: runtime.open(key, sealed, 'owner'),
      moved: runtime.open(key, sealed, 'other') === undefined,
      sealed: runtime.seal(key, 'from workerd', 'owner'),
      digest: runtime.sha256('abc'),
      hmac: runtime.sha256(runtime.hmacSha256(key, 'abc')),
      hkdf: runtime.sha256(runtime.hkdfSha256(key, 'info', 32)),
      equal: [runtime.equal('a', 'a'), runtime.equal('a', 'b'), runtime.equal('a', 'ab')],
      random: runtime.randomBytes(16).length,
    })
  },
}`

interface Answer {
  readonly signature: string
  readonly sealed: string
}

describe('runtime', () => {
  const node = createNodeRuntime()
  const miniflare = new Miniflare({
    modulesRoot: process.cwd(),
    modules: [
      { type: 'ESModule', path: 'entry.js', contents: ENTRY },
      ...SOURCES.map((path) => ({
        type: 'ESModule' as const,
        path,
        contents: stripTypeScriptTypes(readFileSync(path, 'utf8')),
      })),
    ],
    compatibilityDate: '2026-05-01',
    compatibilityFlags: ['nodejs_compat'],
  })
  afterAll(() => miniflare.dispose())

  it('on Workers makes and takes the same values as on Node', async () => {
    const jwk: EcJwk = node.createSigningJwk()
    const sealed = node.seal(KEY, 'from node', 'owner')
    const response = await miniflare.dispatchFetch('http://runtime.example/', {
      method: 'POST',
      body: JSON.stringify({ jwk, sealed }),
    })
    const answer = (await response.json()) as Answer
    expect(answer).toMatchObject({
      sharesPromises: false,
      verified: true,
      refused: false,
      opened: 'from node',
      moved: true,
      digest: node.sha256('abc'),
      hmac: node.sha256(node.hmacSha256(KEY, 'abc')),
      hkdf: node.sha256(node.hkdfSha256(KEY, 'info', 32)),
      equal: [true, false, false],
      random: 16,
    })
    expect(node.verify(node.importVerifyKey(jwk), 'data', answer.signature)).toBe(true)
    expect(node.open(KEY, answer.sealed, 'owner')).toBe('from workerd')
  })

  it('waits for background work at the end, and reports what failed', async () => {
    const failures: unknown[] = []
    const runtime = createNodeRuntime({ onRejection: (error) => failures.push(error) })
    let finish = (): void => undefined
    runtime.waitUntil(
      new Promise<void>((resolve) => {
        finish = resolve
      }),
    )
    runtime.waitUntil(Promise.reject(new Error('no')))
    expect(await runtime.drain(1)).toBe(false)
    finish()
    expect(await runtime.drain(10_000)).toBe(true)
    expect(failures).toHaveLength(1)
  })

  it('does not fire a timer beyond 31 bits at once', async () => {
    let fired = false
    const cancel = node.after(2 ** 40, () => {
      fired = true
    })
    await new Promise((resolve) => setTimeout(resolve, 5))
    cancel()
    expect(fired).toBe(false)
  })
})
