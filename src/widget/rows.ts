/** One server in the list: what the server said of it, and what is going on with it here. */
import type { WidgetConnection } from './calls.ts'

export type Phase = 'idle' | 'opening' | 'waiting' | 'blocked' | 'confirming' | 'disconnecting'

export interface Row {
  readonly connection: WidgetConnection
  readonly phase: Phase
  /** Address for the window that the browser blocked; 55 s. */
  readonly link?: string
  readonly notice?: {
    readonly words: string
    readonly isError: boolean
    /** What one would try again. */
    readonly verb: 'connect' | 'disconnect'
  }
}

/** A fresh answer about a server; what is going on here goes on. */
export function rowOf(connection: WidgetConnection, before: Row | undefined): Row {
  if (before === undefined) return { connection, phase: 'idle' }
  const isSame = before.connection.state === connection.state
  const { notice, ...rest } = before
  return { ...rest, connection, ...(isSame && notice !== undefined ? { notice } : {}) }
}
