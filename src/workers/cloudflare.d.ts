/** What the platform offers beside the web's own globals, as far as it is used here. */
declare module 'cloudflare:workers' {
  /** Bindings, secrets and variables of this Worker. */
  export const env: Readonly<Record<string, string>>
  /** Keeps the present request's context alive for `work`. Throws outside of a request. */
  export function waitUntil(work: Promise<unknown>): void

  /** Storage of one object: reads and writes in one turn are one, an answer leaves after its writes. */
  export interface ObjectStorage {
    get<T>(key: string): Promise<T | undefined>
    put<T>(key: string, value: T): Promise<void>
    deleteAll(): Promise<void>
    getAlarm(): Promise<number | null>
    setAlarm(atMs: number): Promise<void>
  }
  /** One object of a namespace; its public methods are called from elsewhere. */
  export class DurableObject<Env = unknown> {
    constructor(context: { readonly storage: ObjectStorage }, environment: Env)
    protected readonly ctx: { readonly storage: ObjectStorage }
    protected readonly env: Env
  }
}
