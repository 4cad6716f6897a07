import { afterAll, beforeAll, expect, it } from 'vitest'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { type RunningWorker, startWorker } from './start-worker.ts'

let remote: RemoteServer
let worker: RunningWorker
beforeAll(async () => {
  remote = await startRemoteServer()
  worker = await startWorker({
    entry: new URL('discover.worker.ts', import.meta.url),
    bindings: { TEST_SERVER: remote.origin },
  })
})
afterAll(async () => {
  await worker?.dispose()
  await remote?.close()
})

it('createDiscover on Workers: one chain, then memory, then the last good copy of a dead server', async () => {
  const ask = (url: string) => worker.fetch(`/?url=${encodeURIComponent(url)}`)
  const cold = await ask(remote.url)
  expect(await cold.json()).toMatchObject({
    state: 'fresh',
    authorizationServer: { issuer: remote.issuer },
  })
  expect(worker.outboundExchanges).toHaveLength(3)
  await remote.kill()
  const warm = await ask(remote.url)
  expect(warm.status).toBe(200)
  expect(worker.outboundExchanges).toHaveLength(3)
})

it('NET-07: createDiscover on Workers asks no address that nobody approved', async () => {
  const answer = await worker.fetch('/?url=https://10.0.0.1/mcp')
  expect(answer.status).toBe(502)
  expect(await answer.json()).toEqual({ error: 'ERR_UPSTREAM_URL: discovery at https://10.0.0.1' })
})
