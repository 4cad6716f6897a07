'use client'

/** `postern/react`: shells of the element for React 18 and newer; importing needs no page. */
export type { ConnectionState, WidgetConnection } from '../widget/calls.ts'
export { PosternConnect, type PosternConnectProps } from './connect.ts'
export { type UseConnections, type UseConnectionsOptions, useConnections } from './connections.ts'
