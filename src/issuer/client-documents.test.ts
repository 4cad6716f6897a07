import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createTestCa } from '../../test/kit/ca.ts'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createMemoryStore } from '../adapters/memory.ts'
import { createMemoryLock } from '../adapters/memory-lock.ts'
import { createEgress } from '../net/egress.ts'
import { type Address, createNodeFetch, type NodeFetchOptions } from '../node/fetch.ts'
import { createNodeRuntime } from '../node/runtime.ts'
import { openClientDocuments } from './client-documents.ts'

/** The real way out: names resolved by the test, sockets by the machine. */
async function open(options: NodeFetchOptions, approved: readonly string[] = []) {
  const runtime = createNodeRuntime()
  const emit = createRecordingEmit()
  const node = createNodeFetch(options)
  const egress = createEgress({
    fetch: node.fetch,
    runtime,
    emit,
    approvedOrigins: new Set(approved),
    allowHosts: [],
    denyHosts: [],
    connectTimeoutMs: 2_000,
  })
  const documents = await openClientDocuments({
    config: { registration: { dynamic: true, metadataDocuments: true, redirectHosts: [] } },
    egress,
    runtime,
    emit,
    store: createMemoryStore(),
    lock: createMemoryLock(runtime),
  })
  onTestFinished(async () => {
    await documents.close()
    await node.close()
  })
  const outcomes = () =>
    emit.eventsOf('remote.called').map(({ operation, outcome }) => `${operation} ${outcome}`)
  return { documents, outcomes }
}

/** A real https server with a certificate of the test authority. */
async function publish(body: (origin: string) => unknown) {
  const ca = createTestCa()
  const folder = mkdtempSync(join(tmpdir(), 'postern-documents-'))
  const extraCaFile = join(folder, 'ca.pem')
  writeFileSync(extraCaFile, ca.cert)
  let asked = 0
  const server = createServer(ca.issue(['app.example']), (request, response) => {
    asked += 1
    const origin = `https://${request.headers.host}`
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(body(origin)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    await new Promise((resolve) => server.close(resolve))
    rmSync(folder, { recursive: true })
  })
  const origin = `https://app.example:${(server.address() as AddressInfo).port}`
  return { origin, extraCaFile, asked: () => asked }
}

const SPECIAL: readonly Address[] = [
  { address: '127.0.0.1', family: 4 },
  { address: '10.1.2.3', family: 4 },
  { address: '169.254.169.254', family: 4 },
  { address: '0.0.0.0', family: 4 },
  { address: '::1', family: 6 },
  { address: 'fc00::1', family: 6 },
  { address: '::ffff:10.0.0.1', family: 6 },
]

describe('openClientDocuments', () => {
  it.each(SPECIAL)(
    'REG-10 A18: a name that resolves to $address opens no connection, for the document nor for jwks_uri',
    async (address) => {
      const { documents, outcomes } = await open({ resolve: async () => [address] })
      expect(await documents.read('https://app.example/client.json')).toEqual({
        state: 'unreachable',
        reason: 'ERR_UPSTREAM_ADDRESS',
      })
      expect(await documents.keys('https://app.example/jwks.json')).toBeUndefined()
      expect(outcomes()).toEqual(['client-document address', 'jwks address'])
    },
  )

  it('REG-10 REG-17: logo_uri and client_uri of a document are never asked', async () => {
    const seen: string[] = []
    const published = await publish((origin) => ({
      client_id: `${origin}/client.json`,
      client_name: 'App',
      redirect_uris: [`${origin}/cb`],
      logo_uri: 'https://internal.example/logo.png',
      client_uri: 'https://internal.example/',
      policy_uri: 'https://internal.example/policy',
    }))
    const resolve = async (host: string): Promise<readonly Address[]> => {
      seen.push(host)
      return [{ address: '127.0.0.1', family: 4 }]
    }
    const { extraCaFile, origin, asked } = published
    const { documents } = await open({ extraCaFile, resolve }, [origin])
    const read = await documents.read(`${origin}/client.json`)
    expect(read).toMatchObject({ state: 'fresh', document: { name: 'App' } })
    expect(asked()).toBe(1)
    expect(new Set(seen)).toEqual(new Set(['app.example']))
  })

  it('REG-18: an origin of the configuration file may be private; without it the port is refused', async () => {
    const { origin, extraCaFile, asked } = await publish(() => ({}))
    const resolve = async (): Promise<readonly Address[]> => [{ address: '127.0.0.1', family: 4 }]
    const { documents } = await open({ extraCaFile, resolve })
    expect(await documents.read(`${origin}/client.json`)).toEqual({
      state: 'unreachable',
      reason: 'ERR_UPSTREAM_URL',
    })
    expect(asked()).toBe(0)
  })
})
