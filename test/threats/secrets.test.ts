/**
 * Where secrets could come out besides an answer: keys that are no secret, outputs for operators,
 * files and their modes, metrics, crashes, and what is installed with the product (J9, M5-M7, V4, V6).
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it, onTestFinished } from 'vitest'
import { parseConfig } from '../../src/config/parse.ts'
import { ConfigError, StoreError } from '../../src/errors.ts'
import { createNodeEmit } from '../../src/node/emit.ts'
import type { Store } from '../../src/ports.ts'
import { createTestIssuer, ISSUER, register, tokensFor } from '../flow/sign-in-house.ts'
import { createCanaries, watchCanaries } from '../kit/canaries.ts'
import { startCli } from '../kit/cli.ts'
import { openPlane } from '../kit/plane.ts'
import { freePort } from '../kit/postern.ts'
import { runProcess } from '../kit/process.ts'
import { prepareServed } from '../kit/served.ts'

const LONG = process.env.POSTERN_TEST_LONG === '1'
const ROOT = join(import.meta.dirname, '..', '..')

describe('J9: a sealing key that is no secret', () => {
  const encode = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url')
  const text = (value: string) => encode(Buffer.from(value.padEnd(32, '!').slice(0, 32)))
  const counted = (from: number, step: number) =>
    encode(Uint8Array.from({ length: 32 }, (_, index) => from + step * index))
  const random = randomBytes(32)
  const BAD: readonly (readonly [string, string])[] = [
    ['nothing', ''],
    ['a word', 'changeme'],
    ['a word of the right length', 'x'.repeat(43)],
    ['a placeholder', '<your-sealing-key-here-000000000000000000>'],
    ['16 bytes', encode(randomBytes(16))],
    ['31 bytes', encode(randomBytes(31))],
    ['33 bytes', encode(randomBytes(33))],
    ['64 bytes', encode(randomBytes(64))],
    ['hexadecimal', random.toString('hex')],
    ['base64 with padding', `${encode(random)}=`],
    ['base64 of another alphabet', `${encode(random).slice(0, 42)}+`],
    ['zeros', encode(new Uint8Array(32))],
    ['one byte', encode(new Uint8Array(32).fill(0x5a))],
    ['eight values', encode(Uint8Array.from({ length: 32 }, (_, index) => random[index % 8] ?? 0))],
    ['16 bytes twice', encode(Buffer.concat([random.subarray(0, 16), random.subarray(0, 16)]))],
    ['0, 1, 2 ... 31', counted(0, 1)],
    ['255, 254 ... 224', counted(255, -1)],
    ['0, 7, 14 ...', counted(0, 7)],
    ['a sentence', text('correct horse battery staple ok?')],
    ['a sample of a manual', text('sealing-key-for-tests-0123456789')],
    ['hexadecimal as text', text(randomBytes(16).toString('hex'))],
    ['a good one and a short one', `${encode(random)},c2hvcnQ`],
    ['a good one and nothing', `${encode(random)},`],
  ]

  it('J9: 20 configurations with a short, default or sample key do not start, and are not quoted', () => {
    expect(BAD.length).toBeGreaterThanOrEqual(20)
    for (const [name, sealingKey] of BAD) {
      for (const input of [
        { issuer: ISSUER, sealingKey },
        { issuer: ISSUER, sealingKey: 'env:POSTERN_SEALING_KEY' },
      ]) {
        const start = () => parseConfig(input, { environment: { POSTERN_SEALING_KEY: sealingKey } })
        expect(start, name).toThrow(ConfigError)
        const message = caught(start)
        expect(message, name).toMatch(/sealing ?key/i)
        if (sealingKey.length > 8) expect(message, name).not.toContain(sealingKey.slice(0, 43))
      }
    }
    expect(() => parseConfig({ issuer: ISSUER }, { environment: {} })).toThrow(/no sealing key/)
  })

  it('J9: every key that the product makes is taken', () => {
    for (let count = 0; count < (LONG ? 100_000 : 2_000); count += 1) {
      const sealingKey = randomBytes(32).toString('base64url')
      const config = parseConfig({ issuer: ISSUER, sealingKey }, { environment: {} })
      expect(config.sealingKeys).toHaveLength(1)
    }
  })
})

function caught(work: () => unknown): string {
  try {
    work()
    return ''
  } catch (error) {
    return error instanceof Error ? error.message : ''
  }
}

describe('outputs for operators', { timeout: LONG ? 600_000 : 60_000 }, () => {
  const PEOPLE = LONG ? 125 : 4

  it('M5 M7 I1: no canary in logs, metrics, health, explain, keys, revocations or proofs of deletion', async () => {
    const people = Array.from({ length: PEOPLE }, (_, index) => ({
      login: `person${index}x`,
      id: 7_000_001 + index,
      name: `Person${index}x Example`,
      email: `person${index}x@corp.example`,
      groups: [],
    }))
    const log: string[] = []
    const plane = await openPlane({
      provider: 'openid',
      clock: 'real',
      people,
      config: {
        log: { level: 'debug', format: 'json' },
        onEvent: (event) => void log.push(JSON.stringify(event)),
      },
    })
    const canaries = watchCanaries(Number(new URL(plane.issuer).port), plane.provider.port)
    onTestFinished(() => canaries.close())
    const callers = []
    for (const { login } of people) {
      const caller = await plane.signIn(login)
      const { body } = await plane.refresh(caller)
      canaries.add(caller.accessToken, caller.refreshToken)
      canaries.add(String(body['access_token']), String(body['refresh_token']))
      expect((await plane.call({ accessToken: String(body['access_token']) })).status).toBe(200)
      callers.push(caller)
    }
    const planted = Object.values(canaries.kinds()).reduce((sum, count) => sum + count, 0)
    expect(planted).toBeGreaterThanOrEqual(PEOPLE * 4)

    const metrics = await plane.metricsText()
    for (const { login, id, name, email } of people) {
      for (const word of [login, String(id), name, email]) expect(metrics).not.toContain(word)
    }
    expect(metrics).not.toMatch(/(usr|cli|grt|vlt|req)_[A-Za-z0-9_-]{6}/)
    const health = await fetch(`${plane.issuer}/readyz`)
    expect(await health.text()).toBe('ok\n')

    const config = { issuer: plane.issuer, databaseUrl: `sqlite:${plane.databasePath}` }
    const outputs = [metrics, log.join('\n')]
    const [first] = callers
    for (const command of [
      ['explain'],
      ['keys', 'list'],
      ['keys', 'list', '--json'],
      ['users', 'offboard', 'person0x@corp.example', '--yes', '--json'],
      ['users', 'offboard', 'person1x@corp.example', '--yes'],
      ['revoke', '--all', '--yes', '--json'],
      ['revoke', '--since', '1d', '--yes'],
      ['keys', 'rotate', '--yes', '--json'],
    ]) {
      const { stdout, stderr } = await startCli(command, config, first?.accessToken)
      expect(`${stdout}${stderr}`, command[0]).not.toBe('')
      outputs.push(stdout, stderr)
    }
    expect(canaries.find(Buffer.from(outputs.join('\n')))).toEqual([])
    // A backup is these files: consistent while the house runs, and as silent.
    const copy = join(plane.folder, 'copy.db')
    const database = new DatabaseSync(plane.databasePath)
    database.exec(`VACUUM INTO '${copy}'`)
    database.close()
    // The `state` of a client is its own text, kept while its answered form may come again.
    const found = canaries.find(await readFile(copy))
    expect(found.filter((name) => !name.startsWith('redirect state'))).toEqual([])
  })

  it('M7: metrics have a listener of their own; there is nothing at the public one', async () => {
    const port = await freePort()
    const metricsPort = await freePort()
    const served = await prepareServed((databaseUrl) => ({
      issuer: `http://127.0.0.1:${port}`,
      listen: { port, metricsPort },
      databaseUrl,
      insecureDevelopmentSignIn: true,
    }))
    onTestFinished(() => served.close())
    await served.start()
    const own = await fetch(`http://127.0.0.1:${metricsPort}/metrics`)
    expect([own.status, await own.text()]).toEqual([
      200,
      expect.stringMatching(/postern_build_info/),
    ])
    for (const path of ['/metrics', '/healthz/metrics', '/debug/metrics']) {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`)
      expect([path, answer.status]).toEqual([path, 404])
      expect(await answer.text()).not.toContain('postern_build_info')
    }
    for (const path of ['/', '/healthz', '/authorize', '/token', '/.well-known/jwks.json'])
      expect((await fetch(`http://127.0.0.1:${metricsPort}${path}`)).status, path).toBe(404)
  })

  it('M6: every file that the commands write is 0600 in a folder of 0700; no flag takes a secret', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'postern-modes-'))
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    const port = await freePort()
    const served = await prepareServed((databaseUrl) => ({
      issuer: `http://127.0.0.1:${port}`,
      listen: { port, metricsPort: 0 },
      databaseUrl: databaseUrl.replace('/data/', '/data/own/'),
      insecureDevelopmentSignIn: true,
    }))
    onTestFinished(() => served.close())
    await served.start()
    const own = join(served.dataFolder, 'own')
    const mode = async (path: string) => ((await stat(path)).mode & 0o777).toString(8)
    expect(await mode(own)).toBe('700')
    const written = await readdir(own)
    expect(written).toContain('sealing-key')
    expect(written).toContain('postern.db')
    for (const name of written) expect([name, await mode(join(own, name))]).toEqual([name, '600'])

    const commands = await readdir(join(ROOT, 'src/cli'))
    const flags = await Promise.all(
      commands.map(async (name) => [
        ...(await readFile(join(ROOT, 'src/cli', name), 'utf8')).matchAll(
          /(\w+): \{\s*type: 'string'/g,
        ),
      ]),
    )
    const names = flags.flat().map(([, name = '']) => name)
    expect(names).toContain('config')
    expect(names.filter((name) => /secret|password|token|sealing|credential/i.test(name))).toEqual(
      [],
    )
  })

  it('V4 M5: a configuration that cannot be read is refused without quoting what stands in it', async () => {
    const secret = `canary${randomBytes(24).toString('hex')}`
    const folder = await mkdtemp(join(tmpdir(), 'postern-broken-'))
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    const file = join(folder, 'broken.json')
    for (const text of [
      `{"sealingKey": ${secret}}`,
      `{"sealingKey": "${secret}}`,
      `{"sealingKey": "${secret}",}`,
      `{"sealingKey": "${secret}"} ${secret}`,
      `sealingKey: ${secret}`,
      `${secret}`,
      `["${secret}"`,
    ]) {
      await writeFile(file, text)
      const { code, output } = await runProcess({
        name: 'postern serve',
        command: process.execPath,
        args: [join(ROOT, 'src/cli/main.ts'), 'serve', '--config', file],
        deadlineMs: 30_000,
      })
      expect([code, output], text.slice(0, 12)).toEqual([
        2,
        expect.stringMatching(/ERR_CONFIG_FILE/),
      ])
      for (let at = 0; at + 6 <= secret.length; at += 1)
        expect(output.includes(secret.slice(at, at + 6)), output).toBe(false)
    }
  })
})

describe('V4: a crash in each handler', () => {
  const CANARY = `canary-of-a-crash-${randomBytes(16).toString('hex')}`
  const crashes: readonly (readonly [string, () => unknown])[] = [
    ['an error', () => new Error(`bad value ${CANARY}`)],
    ['an error with members', () => Object.assign(new Error('x'), { token: CANARY, sql: CANARY })],
    ['an error with a cause', () => new Error('x', { cause: new Error(CANARY) })],
    ['the store', () => new StoreError('ERR_STORE_UNAVAILABLE', 'unknown', new Error(CANARY))],
    ['a text', () => CANARY],
  ]

  it.each(crashes)(
    'V4: %s thrown by the store: neither answer nor log holds its text',
    async (_, make) => {
      let armed = false
      const statuses: number[] = []
      const house = createTestIssuer()
      const lines: string[] = []
      const emit = createNodeEmit({ write: (line) => lines.push(line) })
      emit.configure({ level: 'debug', format: 'json' }, undefined)
      const crashing = createTestIssuer({
        runtime: house.runtime,
        store: crashingStore(house.store, () => armed, make),
        deps: { emit, keys: house.deps.keys },
      })
      const { client_id } = await register(crashing)
      const tokens = await tokensFor(crashing, client_id)
      armed = true
      const form = (path: string, fields: Record<string, string>) =>
        new Request(`${ISSUER}${path}`, {
          method: 'POST',
          body: new URLSearchParams({ client_id, ...fields }),
        })
      const authorize = `/authorize?${new URLSearchParams({ client_id, response_type: 'code' })}`
      for (const request of [
        new Request(`${ISSUER}${authorize}`),
        new Request(`${ISSUER}/callback/github?code=x&state=${'s'.repeat(43)}`),
        new Request(`${ISSUER}/account`, { headers: { cookie: '__Host-postern_session=abc' } }),
        form('/token', { grant_type: 'refresh_token', refresh_token: tokens.refresh_token }),
        form('/revoke', { token: tokens.refresh_token }),
        form('/logout', {}),
        new Request(`${ISSUER}/register`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ redirect_uris: ['https://client.example/cb'] }),
        }),
      ]) {
        const answer = await crashing.fetch(request)
        const text = `${[...answer.headers].join()}${await answer.text()}`
        statuses.push(answer.status)
        expect(text, request.url).not.toContain(CANARY)
        expect(text, 'no stack').not.toMatch(/at .*\.ts:\d+/)
      }
      expect(
        statuses.filter((status) => status >= 500).length,
        statuses.join(),
      ).toBeGreaterThanOrEqual(4)
      expect(lines.join('')).toContain('"level"')
      expect(lines.join('')).not.toContain(CANARY)
      const canaries = createCanaries()
      canaries.add(tokens.refresh_token, tokens.access_token)
      expect(canaries.find(Buffer.from(lines.join('')))).toEqual([])
    },
  )
})

function crashingStore(store: Store, isArmed: () => boolean, make: () => unknown): Store {
  const crash = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(object, name) {
        const value: unknown = Reflect.get(object, name)
        if (name === 'grants') return crash(value as Store['grants'])
        if (typeof value !== 'function') return value
        return (...parameters: unknown[]) =>
          isArmed() ? Promise.reject(make()) : (value.apply(object, parameters) as unknown)
      },
    })
  return crash(store)
}

describe('V6: what is installed with the product', () => {
  interface Locked {
    readonly version?: string
    readonly integrity?: string
    readonly hasInstallScript?: boolean
    readonly dev?: boolean
    readonly optional?: boolean
    readonly link?: boolean
  }
  const read = (name: string): unknown => JSON.parse(readFileSync(join(ROOT, name), 'utf8'))
  const lock = read('package-lock.json') as { packages: Readonly<Record<string, Locked>> }
  const manifest = read('package.json') as {
    dependencies: Readonly<Record<string, string>>
    devDependencies: Readonly<Record<string, string>>
    scripts: Readonly<Record<string, string>>
  }
  const installed = Object.entries(lock.packages).filter(
    ([path, { link }]) => path.startsWith('node_modules/') && link !== true,
  )

  it('V6: the lock is complete, names no host, and its policy check passes', async () => {
    const { code, output } = await runProcess({
      name: 'lock-file',
      command: process.execPath,
      args: [join(ROOT, 'tools/check/lock-file.mjs')],
      deadlineMs: 30_000,
    })
    expect([code, output]).toEqual([0, ''])
    for (const [path, { integrity, optional, version }] of installed) {
      expect(version, path).toMatch(/^\d+\.\d+\.\d+/)
      if (optional !== true) expect(integrity, path).toMatch(/^sha512-/)
    }
  })

  it('V6: few dependencies at exact versions, and nobody runs a script of theirs', () => {
    expect(Object.keys(manifest.dependencies).length).toBeLessThanOrEqual(10)
    for (const [name, range] of Object.entries(manifest.dependencies))
      expect([name, range]).toEqual([name, expect.stringMatching(/^\d+\.\d+\.\d+(-[\w.]+)?$/)])
    const shipped = installed.filter(([, { dev, optional }]) => dev !== true && optional !== true)
    expect(shipped.length).toBeLessThanOrEqual(60)
    for (const [path, { hasInstallScript }] of shipped)
      expect([path, hasInstallScript]).toEqual([path, undefined])
    for (const name of ['preinstall', 'install', 'postinstall', 'prepare'])
      expect(Object.keys(manifest.scripts)).not.toContain(name)
  })
})
