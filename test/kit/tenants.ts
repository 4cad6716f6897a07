/**
 * One process with three houses on one SQLite file: the outer one and the tenants `acme` and `other`, all
 * on one host, each with the same provider, the same server behind and the same names, so that only the
 * tenant tells them apart. Real sockets; the clock is the real one.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { startOpenIdDouble } from '../../demo/doubles/openid.ts'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { type NotesServer, startNotesServer } from '../../demo/servers/notes.ts'
import { type SignedInClient, signInAsClient } from '../../demo/sign-in.ts'
import { createVisitor, type ReadingVisitor } from '../../demo/visitor.ts'
import { createPostern, type Postern } from '../../src/app.ts'
import { CAPABILITIES } from '../../src/config/fields.ts'
import type { PosternConfig, TenantInput } from '../../src/config.ts'
import { type RunningServer, serve } from '../../src/node/server.ts'
import { oidc } from '../../src/providers/index.ts'
import { createWatchedPlatform, type WatchedPlatform } from './platform.ts'
import { freePort } from './postern.ts'

export const HOUSES = ['default', 'acme', 'other'] as const
export type HouseName = (typeof HOUSES)[number]

const CLIENT = { clientId: 'postern', clientSecret: 'postern-client-secret' }
/** Nobody listens there: the visitor stops before it. */
export const REDIRECT_URI = 'http://127.0.0.1:9/callback'

export interface TenantHouses {
  readonly origin: string
  readonly postern: Postern
  readonly platform: WatchedPlatform
  readonly config: PosternConfig
  readonly databasePath: string
  readonly notes: NotesServer
  readonly remote: RemoteServer
  issuer(house: HouseName): string
  /** Signs in by the pages of a house. */
  signIn(house: HouseName, visitor?: ReadingVisitor): Promise<SignedInClient>
  /** A second process on the same database, without listener. */
  secondNode(): { readonly postern: Postern; readonly platform: WatchedPlatform }
  /** Rows of the database as text, by tenant. */
  rows(): Readonly<Record<string, readonly string[]>>
  restart(): Promise<void>
  close(): Promise<void>
}

export interface TenantHousesOptions {
  readonly limits?: PosternConfig['limits']
  /** Further fields of each house. */
  readonly own?: (house: HouseName) => Partial<TenantInput>
  /** URL of the server behind `notes` of a house. */
  readonly notesUrl?: Partial<Record<HouseName, string>>
}

export function browser(): ReadingVisitor {
  return createVisitor({ press: [/^allow/i, /^continue as ada/i] })
}

export async function startTenants(options: TenantHousesOptions = {}): Promise<TenantHouses> {
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const issuer = (house: HouseName): string =>
    house === 'default' ? origin : `${origin}/t/${house}`
  const folder = await mkdtemp(join(tmpdir(), 'postern-tenants-'))
  const redirectUris = HOUSES.map((house) => `${issuer(house)}/callback/openid`)
  const [double, notes, remote] = await Promise.all([
    startOpenIdDouble({ clients: [{ ...CLIENT, redirectUris }] }),
    startNotesServer(),
    startRemoteServer(),
  ])
  const databasePath = join(folder, 'postern.db')
  const own = (house: HouseName): TenantInput => ({
    providers: [oidc({ id: 'openid', title: 'OpenID', issuer: double.issuer, ...CLIENT })],
    allow: 'anyone',
    connectors: {
      notes: { url: options.notesUrl?.[house] ?? notes.url },
      files: { url: remote.url, auth: 'oauth' },
    },
    enable: CAPABILITIES.filter((name) => name !== 'id-jag' && name !== 'shared-signals'),
    ...options.own?.(house),
  })
  const config: PosternConfig = {
    issuer: origin,
    listen: { port, metricsPort: 0 },
    databaseUrl: `sqlite:${databasePath}`,
    sealingKey: randomBytes(32).toString('base64url'),
    limits: {
      registrationsPerMinuteMax: 1_000,
      refusalsPerSecondMax: 1_000_000,
      ...options.limits,
    },
    ...own('default'),
    tenants: { acme: own('acme'), other: own('other') },
  }
  let platform = createWatchedPlatform(undefined)
  let postern = createPostern(config, platform)
  let server: RunningServer = await serve(postern, { signals: false })
  const others: Postern[] = []
  return {
    origin,
    databasePath,
    notes,
    remote,
    config,
    issuer,
    get postern() {
      return postern
    },
    get platform() {
      return platform
    },
    signIn: (house, visitor = browser()) =>
      signInAsClient({
        resource: `${issuer(house)}/mcp/notes`,
        redirectUri: REDIRECT_URI,
        visitor,
      }),
    secondNode() {
      const second = createWatchedPlatform(undefined)
      const node = createPostern(config, second)
      others.push(node)
      return { postern: node, platform: second }
    },
    rows: () => readRows(databasePath),
    async restart() {
      await server.close()
      platform = createWatchedPlatform(undefined)
      postern = createPostern(config, platform)
      server = await serve(postern, { signals: false })
    },
    async close() {
      await Promise.all(others.map((node) => node.close()))
      await server.close()
      await Promise.all([double.close(), notes.close(), remote.close()])
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Every row of every table that has a tenant. */
function readRows(path: string): Readonly<Record<string, readonly string[]>> {
  const database = new DatabaseSync(path, { readOnly: true })
  const found: Record<string, string[]> = {}
  try {
    for (const table of ['records', 'grants', 'revocations']) {
      for (const row of database.prepare(`SELECT * FROM ${table}`).all()) {
        const tenant = String(row['tenant'])
        found[tenant] = [...(found[tenant] ?? []), `${table} ${JSON.stringify(row)}`]
      }
    }
  } finally {
    database.close()
  }
  for (const rows of Object.values(found)) rows.sort()
  return found
}
