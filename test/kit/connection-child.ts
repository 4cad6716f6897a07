/**
 * One process of an embedding product: a Postern on the file of its configuration, that is asked for
 * tokens over the channel to its parent. Started by `connection-processes.ts`, killed by it too.
 */
import { createPostern } from '../../src/app.ts'
import type { PosternConfig } from '../../src/config.ts'
import { node } from '../../src/node/platform.ts'

export interface Question {
  readonly id: number
  readonly user: string
  readonly connector: string
}
export type Reply =
  | { readonly id: number; readonly accessToken: string }
  /** The code of the error, and its reason. */
  | { readonly id: number; readonly code: string; readonly reason: string }

const config = JSON.parse(process.env.CHILD_CONFIG ?? '{}') as PosternConfig
const postern = createPostern(config, node({ environment: {}, log: process.stderr }))
const tell = (reply: Reply | 'ready'): void => void process.send?.(reply)

process.on('message', ({ id, user, connector }: Question) => {
  postern.getToken(user, connector).then(
    ({ accessToken }) => tell({ id, accessToken }),
    (error: { code?: string; reason?: string; message?: string }) =>
      tell({ id, code: error.code ?? String(error.message), reason: error.reason ?? '' }),
  )
})
process.on('disconnect', () => process.exit(0))
await postern.ready()
tell('ready')
