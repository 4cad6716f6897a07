/**
 * A real Keycloak for the long tests: the distribution from Maven Central, fetched once by `mvn` into
 * `.cache/keycloak/` (ignored by git), started in development mode on the loopback with a realm in
 * memory. Needs Java 17 or newer, `mvn` and `unzip`; nothing is installed.
 */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { type RunningProcess, runProcess, startProcess } from './process.ts'

const CACHE = join(fileURLToPath(new URL('../../', import.meta.url)), '.cache/keycloak')
/** The newest line that runs on Java 17. */
const VERSION = '26.0.8'
const SHA256 = 'd82a52098db41f036bcfe8f2ebfd9251781c8af5959af8714e8aa9b311081786'
const FETCH_DEADLINE_MS = 600_000
const PROBE_DEADLINE_MS = 30_000
const START_DEADLINE_MS = 240_000
/** Below the ports that outgoing connections of this machine get. */
const PORTS = { first: 18_100, last: 18_199 }
const ADMIN = { name: 'admin', password: 'admin-of-the-test' }
const MAVEN_VARIABLES = /^(MAVEN_.*|JAVA_HOME|HTTPS?_PROXY|NO_PROXY|https?_proxy|no_proxy)$/

export interface Keycloak {
  readonly url: string
  /** Its log, the newest lines. */
  readonly lines: readonly string[]
  /** A call of the administrator: `POST /admin/realms/acme/...`. */
  administrate(method: 'GET' | 'POST', path: string): Promise<unknown>
  close(): Promise<void>
}

type Found = { value: string } | { missing: string }

/** For `need()`: the folder of the distribution, fetched when it is not there yet. */
export async function prepareKeycloak(): Promise<Found> {
  const folder = join(CACHE, `keycloak-${VERSION}`)
  if (existsSync(folder)) return { value: folder }
  for (const [command, argument] of [
    ['java', '-version'],
    ['mvn', '-version'],
    ['unzip', '-v'],
  ] as const) {
    if (!(await runs(command, [argument], PROBE_DEADLINE_MS))) return { missing: `no ${command}` }
  }
  await mkdir(CACHE, { recursive: true })
  const making = await mkdtemp(join(CACHE, 'making-'))
  try {
    const artifact = `org.keycloak:keycloak-quarkus-dist:${VERSION}:zip`
    const copy = ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`]
    if (!(await runs('mvn', [...copy, `-DoutputDirectory=${making}`], FETCH_DEADLINE_MS)))
      return { missing: `mvn cannot fetch ${artifact}` }
    const archive = join(making, `keycloak-quarkus-dist-${VERSION}.zip`)
    if ((await digestOf(archive)) !== SHA256) return { missing: `${artifact} is another file` }
    if (!(await runs('unzip', ['-q', archive, '-d', making], FETCH_DEADLINE_MS)))
      return { missing: `unzip cannot read ${archive}` }
    const unpacked = join(making, `keycloak-${VERSION}`)
    await chmod(join(unpacked, 'bin/kc.sh'), 0o755)
    await rename(unpacked, folder)
    return { value: folder }
  } finally {
    await rm(making, { recursive: true, force: true })
  }
}

/** @param realm Its representation, as Keycloak exports one. */
export async function startKeycloak(
  home: string,
  realm: { readonly realm: string } & Readonly<Record<string, unknown>>,
): Promise<Keycloak> {
  const imports = join(home, 'data/import')
  await rm(join(home, 'data'), { recursive: true, force: true })
  await mkdir(imports, { recursive: true })
  await writeFile(join(imports, `${realm.realm}-realm.json`), JSON.stringify(realm))
  const port = await lowPort()
  const child = startProcess({
    name: 'keycloak',
    command: join(home, 'bin/kc.sh'),
    args: [
      'start-dev',
      '--import-realm',
      '--db=dev-mem',
      '--http-host=127.0.0.1',
      `--http-port=${port}`,
    ],
    env: {
      KC_BOOTSTRAP_ADMIN_USERNAME: ADMIN.name,
      KC_BOOTSTRAP_ADMIN_PASSWORD: ADMIN.password,
      ...(process.env.JAVA_HOME === undefined ? {} : { JAVA_HOME: process.env.JAVA_HOME }),
    },
  })
  return await ready(child, `http://127.0.0.1:${port}`, realm.realm)
}

async function ready(child: RunningProcess, url: string, realm: string): Promise<Keycloak> {
  try {
    await child.line(/Listening on: http:/, START_DEADLINE_MS)
    // The first answers take seconds, while classes are loaded.
    await fetch(`${url}/realms/${realm}/.well-known/openid-configuration`)
  } catch (error) {
    await child.stop()
    throw error
  }
  return {
    url,
    lines: child.lines,
    async administrate(method, path) {
      const signIn = await fetch(`${url}/realms/master/protocol/openid-connect/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'password',
          client_id: 'admin-cli',
          username: ADMIN.name,
          password: ADMIN.password,
        }),
      })
      const { access_token: accessToken } = (await signIn.json()) as { access_token: string }
      const headers = { authorization: `Bearer ${accessToken}` }
      const answer = await fetch(`${url}${path}`, { method, headers })
      const text = await answer.text()
      if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status} ${text}`)
      return text === '' ? undefined : JSON.parse(text)
    },
    close: () => child.stop(),
  }
}

async function runs(command: string, args: readonly string[], deadlineMs: number) {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => MAVEN_VARIABLES.test(name)),
  )
  try {
    return (await runProcess({ name: command, command, args, env, deadlineMs })).code === 0
  } catch {
    return false
  }
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}

async function lowPort(): Promise<number> {
  for (let port = PORTS.first; port <= PORTS.last; port++) {
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!isFree) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
  throw new Error(`no port is free between ${PORTS.first} and ${PORTS.last}`)
}
