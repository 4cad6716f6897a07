/** The contract suite of the Store on D1, in real workerd: each call is a request of its own. */
import { afterAll, beforeAll } from 'vitest'
import { describeGrants } from '../contract/grants.ts'
import type { StoreFixture } from '../contract/harness.ts'
import { describeRecords } from '../contract/store.ts'
import { type AdaptersWorker, startAdapters } from './remote-ports.ts'

let adapters: AdaptersWorker
beforeAll(async () => {
  adapters = await startAdapters()
})
afterAll(() => adapters?.worker.dispose())

const d1: StoreFixture = {
  name: 'D1',
  async open() {
    const { store, call } = adapters
    await call('empty')
    return {
      store,
      restart: async () => {
        await call('reopen')
        return store
      },
      dispose: async () => undefined,
    }
  },
}
describeRecords(d1)
describeGrants(d1)
