/** `postern/widget`: importing it registers `<postern-connect>`; on a server it does nothing. */
import { defineElement } from './element.ts'

export type { ConnectionState, WidgetConnection } from './calls.ts'
export { PosternConnectElement, type PosternConnectEventMap } from './element.ts'

defineElement(import.meta.url)
