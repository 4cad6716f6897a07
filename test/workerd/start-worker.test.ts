import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RunningWorker, startWorker } from './start-worker.ts'

describe('the core in real workerd', () => {
  let remote: Server
  let worker: RunningWorker

  beforeAll(async () => {
    remote = createServer((_request, response) => {
      response.writeHead(302, { location: '/elsewhere', 'set-cookie': ['a=1', 'b=2'] }).end()
    })
    await new Promise<void>((resolve) => remote.listen(0, '127.0.0.1', resolve))
    const { port } = remote.address() as AddressInfo
    worker = await startWorker({
      entry: new URL('errors.worker.ts', import.meta.url),
      bindings: { REMOTE: `http://127.0.0.1:${port}/remote` },
      origin: 'https://auth.example',
    })
  })

  afterAll(async () => {
    await worker?.dispose()
    remote?.close()
  })

  it('answers an error of ours as the RFC says, with no exchange of its own', async () => {
    const response = await worker.fetch('/token', { method: 'POST' })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ error: 'invalid_grant' })
    expect(worker.outboundExchanges).toEqual([])
  })

  it('listens on loopback', async () => {
    const response = await fetch(worker.url)
    expect(response.status).toBe(400)
    await response.body?.cancel()
  })

  it('has node:crypto', async () => {
    const response = await worker.fetch('/digest')
    expect(await response.text()).toMatch(
      /^ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb$/,
    )
  })

  it('counts the exchanges of a Worker and follows no redirect', async () => {
    const response = await worker.fetch('/remote')
    expect(response.status).toBe(302)
    expect(response.headers.get('location')).toBe('/elsewhere')
    expect(worker.outboundExchanges).toMatchObject([{ method: 'GET', status: 302 }])
  })
})
