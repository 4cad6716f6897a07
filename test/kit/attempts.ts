/** Addresses that this process tried to connect to, seen below every client: at the connect call itself. */
import { createHook } from 'node:async_hooks'
import { onTestFinished } from 'vitest'

interface ConnectRequest {
  readonly address?: string
  readonly port?: number
}

export interface Attempts {
  /** `address port`, in order. */
  list(): readonly string[]
  /** Forgets what was tried so far. */
  clear(): void
}

/** Plain and TLS sockets alike; until the test ends. */
export function watchAttempts(): Attempts {
  let requests: ConnectRequest[] = []
  const hook = createHook({
    init(_id, type, _trigger, resource) {
      // Its address is written just after this call.
      if (type === 'TCPCONNECTWRAP') requests.push(resource as ConnectRequest)
    },
  }).enable()
  onTestFinished(() => {
    hook.disable()
  })
  return {
    list: () => requests.map(({ address = '', port = 0 }) => `${address} ${port}`),
    clear: () => {
      requests = []
    },
  }
}
