/**
 * The child's end of a benchmark server: settings in, one `ready` out, then calls by name. It ends
 * with its parent, whatever happens to either.
 */

export interface CallMessage {
  readonly id: number
  readonly method: string
  readonly argument: unknown
}
export type ChildMessage =
  | { readonly ready: unknown }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string }

/** What the parent gave to `startChild`. Both ends are ours, so the type is the parent's word. */
export function readSettings<T>(): T {
  return JSON.parse(process.argv[2] ?? '{}') as T
}

export type Methods = Readonly<Record<string, (argument: never) => unknown>>

/** Says that this server answers, and takes calls from then on. */
export function offer(ready: unknown, methods: Methods = {}): void {
  process.on('disconnect', () => process.exit(0))
  process.on('message', (message: CallMessage) => void answer(message, methods))
  tell({ ready })
}

async function answer({ id, method, argument }: CallMessage, methods: Methods): Promise<void> {
  try {
    const run = methods[method]
    if (run === undefined) throw new Error(`no method ${method}`)
    tell({ id, result: await run(argument as never) })
  } catch (error) {
    tell({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
}

function tell(message: ChildMessage): void {
  process.send?.(message)
}
