/** What the platform offers beside the web's own globals, as far as it is used here. */
declare module 'cloudflare:workers' {
  /** Keeps the present request's context alive for `work`. Throws outside of a request. */
  export function waitUntil(work: Promise<unknown>): void
}
