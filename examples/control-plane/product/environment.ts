/** What `wrangler.jsonc` binds. Of D1 and KV only what is used here; `wrangler types` writes all of it. */
export interface Statement {
  bind(...values: (string | number)[]): Statement
  first<Row>(): Promise<Row | null>
  all<Row>(): Promise<{ results: Row[] }>
  run(): Promise<unknown>
}
export interface Database {
  prepare(sql: string): Statement
}
export interface Namespace {
  get(key: string): Promise<string | null>
  put(key: string, value: string, options: { expirationTtl: number }): Promise<void>
  delete(key: string): Promise<void>
}

export interface Environment {
  /** The product's own database. */
  readonly DB: Database
  readonly KV: Namespace
  /** Where the product is for its people, without a slash at the end. */
  readonly PUBLIC_URL: string
  /** 32 random bytes or more: `wrangler secret put SESSION_SECRET`. */
  readonly SESSION_SECRET: string
  /** Local runs only: a server on this machine, which is private and http. */
  readonly LOCAL_SERVER?: string
}
