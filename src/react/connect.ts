/**
 * `<PosternConnect>`: the custom element as a React component. Properties and listeners are set from
 * effects, so that it renders on a server and survives StrictMode.
 */
import { type CSSProperties, createElement, type ReactElement, useEffect, useRef } from 'react'
import {
  defineElement,
  type PosternConnectElement,
  type PosternConnectEventMap,
} from '../widget/element.ts'

type Detail<N extends keyof PosternConnectEventMap> = PosternConnectEventMap[N]['detail']

export interface PosternConnectProps {
  /** Address of Postern, with its prefix if it has one. */
  readonly issuer: string
  /** Gives a connect session token; called again when a session ends. */
  readonly fetchSession: () => Promise<string>
  /** Names, in this order. Default: all that the session allows. */
  readonly connectors?: readonly string[]
  /** Default `list`. */
  readonly layout?: 'list' | 'buttons'
  /** Default `auto`: what the person prefers. */
  readonly theme?: 'auto' | 'light' | 'dark'
  readonly onChange?: (detail: Detail<'postern-change'>) => void
  /** `confirm: 'backend'` only: send it to your backend. */
  readonly onConfirm?: (detail: Detail<'postern-confirm'>) => void
  readonly onError?: (detail: Detail<'postern-error'>) => void
  readonly className?: string
  readonly style?: CSSProperties
}

export function PosternConnect(props: PosternConnectProps): ReactElement {
  const { issuer, fetchSession, connectors, layout, theme, className, style } = props
  const element = useRef<PosternConnectElement>(null)
  const latest = useRef(props)
  useEffect(() => {
    latest.current = props
  })
  useEffect(() => {
    defineElement()
    const { current } = element
    if (current === null) return undefined
    const listening = new AbortController()
    const { signal } = listening
    const { onChange, onConfirm, onError } = forwarders(() => latest.current)
    current.addEventListener('postern-change', onChange, { signal })
    current.addEventListener('postern-confirm', onConfirm, { signal })
    current.addEventListener('postern-error', onError, { signal })
    return () => listening.abort()
  }, [])
  useEffect(() => {
    if (element.current !== null) element.current.fetchSession = fetchSession
  }, [fetchSession])
  return createElement('postern-connect', {
    ref: element,
    issuer,
    connectors: connectors?.join(' '),
    layout,
    theme,
    class: className,
    style,
  })
}

function forwarders(latest: () => PosternConnectProps) {
  return {
    onChange: ({ detail }: PosternConnectEventMap['postern-change']) => latest().onChange?.(detail),
    onConfirm: ({ detail }: PosternConnectEventMap['postern-confirm']) =>
      latest().onConfirm?.(detail),
    onError: ({ detail }: PosternConnectEventMap['postern-error']) => latest().onError?.(detail),
  }
}
