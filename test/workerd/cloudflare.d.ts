/** Bindings of the Workers of these tests. */
declare module 'cloudflare:workers' {
  export const env: Readonly<Record<string, string>>
}
