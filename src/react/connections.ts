/**
 * `useConnections`: what the element knows and does, for pages that draw the list themselves. It
 * starts when a component is mounted and leaves nothing behind when it goes.
 */
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import type { WidgetConnection } from '../widget/calls.ts'
import { baseOf } from '../widget/element.ts'
import { Model, type ModelEvents } from '../widget/model.ts'
import { textsOf } from '../widget/texts.ts'

export interface UseConnectionsOptions {
  readonly issuer: string
  readonly fetchSession: () => Promise<string>
  /** `confirm: 'backend'` only: send it to your backend. */
  readonly onConfirm?: (detail: ModelEvents['postern-confirm']) => void
}

export interface UseConnections {
  readonly connections: readonly WidgetConnection[]
  /** Opens a window: call it in the handler of a press. Never rejects; see `error`. */
  readonly connect: (connector: string) => Promise<void>
  readonly disconnect: (connector: string) => Promise<void>
  /** What failed last, until the next success. */
  readonly error: { readonly code: string; readonly message: string } | undefined
  /** True until the list was read for the first time, or could not be. */
  readonly isLoading: boolean
}

type State = Pick<UseConnections, 'connections' | 'error' | 'isLoading'>

const NOTHING: State = { connections: [], error: undefined, isLoading: true }

export function useConnections(options: UseConnectionsOptions): UseConnections {
  const { issuer } = options
  const latest = useRef(options)
  useEffect(() => {
    latest.current = options
  })
  const [store] = useState(createStore)
  useEffect(() => store.open(issuer, () => latest.current), [store, issuer])
  const state = useSyncExternalStore(store.subscribe, store.read, readNothing)
  const connect = useCallback((name: string) => store.connect(name), [store])
  const disconnect = useCallback((name: string) => store.disconnect(name), [store])
  return useMemo(() => ({ ...state, connect, disconnect }), [state, connect, disconnect])
}

function readNothing(): State {
  return NOTHING
}

/** One model at a time, and a picture of it that only changes when something did. */
function createStore() {
  const listeners = new Set<() => void>()
  let model: Model | undefined
  let state = NOTHING
  const set = (next: State): void => {
    state = next
    for (const listener of listeners) listener()
  }
  const draw = (): void => {
    if (model === undefined) return
    const connections = [...model.rows.values()].map(({ connection }) => connection)
    set({ ...state, connections, isLoading: model.status === 'loading' })
  }
  return {
    open(issuer: string, latest: () => UseConnectionsOptions): () => void {
      const opened = new Model({
        base: baseOf(issuer),
        fetchSession: () => latest().fetchSession(),
        texts: () => textsOf(navigator.language).texts,
        onChange: draw,
        onSay: () => undefined,
        onEvent: (name, detail) => {
          if (name === 'postern-error')
            set({ ...state, error: detail as ModelEvents['postern-error'] })
          else set({ ...state, error: undefined })
          if (name === 'postern-confirm')
            latest().onConfirm?.(detail as ModelEvents['postern-confirm'])
        },
      })
      model = opened
      opened.start()
      return () => {
        opened.stop()
        if (model === opened) model = undefined
        set(NOTHING)
      }
    },
    subscribe(listener: () => void): () => void {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    read: (): State => state,
    connect: async (connector: string): Promise<void> => await model?.connect(connector),
    disconnect: async (connector: string): Promise<void> => await model?.disconnect(connector),
  }
}
