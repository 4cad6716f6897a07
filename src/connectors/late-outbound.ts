/**
 * The outbound half of a house, opened when the first connector needs it: at the start where the file
 * has one, later where the API makes the first. A house without any loads nothing of it.
 *
 * What other rooms keep of it is here from the start and answers *cold* until then; loading opens it.
 */
import type { Runtime } from '../ports.ts'
import type { ConnectionTokens, HeldToken } from './connections/connection-tokens.ts'
import type { Connections } from './connections/connections.ts'
import type { Outbound } from './outbound.ts'

export interface LateOutbound {
  opened(): Outbound | undefined
  /** Opens it where it is needed; `undefined` where it is not. @throws {StoreError} */
  ensure(): Promise<Outbound | undefined>
  /** Called once it is open, also when it is already. */
  onOpened(listener: (outbound: Outbound) => void): void
  readonly tokens: ConnectionTokens
  readonly connections: Pick<Connections, 'findById' | 'end'>
  close(): Promise<void>
}

export interface LateOutboundDeps {
  readonly runtime: Pick<Runtime, 'sharesPromises'>
  /** Whether some connector has an authorization server now. */
  isNeeded(): boolean
  open(): Promise<Outbound>
}

const COLD: HeldToken = { state: 'cold' }
const MISSING: HeldToken = { state: 'missing' }

export function createLateOutbound({ runtime, isNeeded, open }: LateOutboundDeps): LateOutbound {
  let opened: Outbound | undefined
  let opening: Promise<Outbound> | undefined
  const listeners: ((outbound: Outbound) => void)[] = []
  const openNow = async (): Promise<Outbound> => {
    const made = await open()
    if (opened !== undefined) {
      await made.close()
      return opened
    }
    opened = made
    for (const listener of listeners) listener(made)
    return made
  }
  const ensure = async (): Promise<Outbound | undefined> => {
    if (opened !== undefined || !isNeeded()) return opened
    if (!runtime.sharesPromises) return openNow()
    opening ??= openNow().finally(() => {
      opening = undefined
    })
    return opening
  }
  const tokens = async (): Promise<ConnectionTokens | undefined> => (await ensure())?.tokens
  return {
    opened: () => opened,
    ensure,
    onOpened(listener) {
      listeners.push(listener)
      if (opened !== undefined) listener(opened)
    },
    tokens: {
      peek: (userId, connector) => opened?.tokens.peek(userId, connector) ?? COLD,
      load: async (...asked) => (await tokens())?.load(...asked) ?? MISSING,
      refused: async (...asked) => (await tokens())?.refused(...asked) ?? MISSING,
      machine: (connector) => opened?.tokens.machine(connector) ?? COLD,
      loadMachine: async (...asked) => (await tokens())?.loadMachine(...asked) ?? MISSING,
      refusedMachine: async (...asked) => (await tokens())?.refusedMachine(...asked) ?? MISSING,
      renewDue: async (...asked) => (await tokens())?.renewDue(...asked) ?? 'dead',
      forget: (vaultId) => opened?.tokens.forget(vaultId),
      drop: (userId, connector) => opened?.tokens.drop(userId, connector),
      dropAll: (connector) => opened?.tokens.dropAll(connector),
      close: () => undefined,
    },
    connections: {
      findById: async (id) => (await ensure())?.connections.findById(id),
      end: async (id, cause) => (await ensure())?.connections.end(id, cause),
    },
    async close() {
      await opening?.catch(() => undefined)
      await opened?.close()
    },
  }
}
