import { afterAll, beforeAll, expect, it } from 'vitest'
import { mount } from '../../src/node/index.ts'
import { callWith, type ProtectHouse, startProtectHouse } from '../flow/protect-house.ts'
import { freePort } from '../kit/postern.ts'
import { type RunningWorker, startWorker } from './start-worker.ts'

const CREDENTIAL = 'credential-of-the-worker-0123456789-abcdef'
const REVOCATION_DEADLINE_MS = 20_000

let resource: string
let house: ProtectHouse
let worker: RunningWorker
beforeAll(async () => {
  const port = await freePort()
  resource = `http://127.0.0.1:${port}/mcp`
  house = await startProtectHouse(
    (postern) => mount(postern, (_request, response) => response.writeHead(404).end()),
    () => ({ resources: [{ url: resource, credential: CREDENTIAL }] }),
  )
  worker = await startWorker({
    entry: new URL('protect.worker.ts', import.meta.url),
    port,
    bindings: { TEST_ISSUER: house.issuer, TEST_RESOURCE: resource, TEST_CREDENTIAL: CREDENTIAL },
  })
})
afterAll(async () => {
  await worker?.dispose()
  await house?.close()
})

it('a Worker protects itself by an issuer elsewhere: cold calls together, then no wait, then a revocation', async () => {
  expect(worker.outboundExchanges).toEqual([])
  const client = await house.signIn(resource)
  const call = () => callWith(resource, client.accessToken)
  const cold = await Promise.all(Array.from({ length: 20 }, call))
  expect(new Set(cold.map((answer) => answer.status))).toEqual(new Set([200]))
  expect(await cold[0]?.json()).toMatchObject({ resource, clientId: client.clientId })

  const keys = () => worker.outboundExchanges.filter(({ url }) => url.includes('jwks')).length
  const before = keys()
  for (let count = 0; count < 20; count++) expect((await call()).status).toBe(200)
  expect(keys()).toBe(before)

  expect(await house.revoke(client)).toBe(200)
  // Polled on use: a call starts the look, a later one sees what it found.
  const deadlineMs = performance.now() + REVOCATION_DEADLINE_MS
  let status = 200
  while (status === 200 && performance.now() < deadlineMs) status = (await call()).status
  expect(status).toBe(401)
})
