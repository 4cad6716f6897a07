/**
 * Somebody uses up what there is: sockets, log lines, rows, file handles; or something of ours is never
 * given back (D2, D4, D5, K9, K17). Full sizes with POSTERN_TEST_LONG=1, a tenth or less otherwise.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Sql, Statement } from '../../src/adapters/sql.ts'
import { createSqlStore } from '../../src/adapters/sql-store.ts'
import { openSqlite } from '../../src/adapters/sqlite.ts'
import { createNodeEmit } from '../../src/node/emit.ts'
import { TENANT } from '../../src/records.ts'
import { startGateway } from '../kit/gateway.ts'
import { parseAnswer, raw, request, startServer, until } from '../kit/http.ts'
import { openPlane } from '../kit/plane.ts'
import { freePort } from '../kit/postern.ts'
import { createTestRuntime } from '../kit/runtime.ts'

const LONG = process.env.POSTERN_TEST_LONG === '1'
const TIMEOUT_MS = LONG ? 900_000 : 60_000

describe('D2: slow sockets', { timeout: TIMEOUT_MS }, () => {
  const SOCKETS = LONG ? 5_000 : 500
  const CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'

  it('D2: others are served while all are open; the timeouts of the listener end them', async () => {
    const behind = await startServer()
    const house = await startGateway({
      connectors: [{ name: 'c1', url: `${behind.origin}/mcp` }],
      connectionsCheckingIntervalMs: 100,
    })
    const sockets: Socket[] = []
    onTestFinished(async () => {
      for (const socket of sockets) socket.destroy()
      await house.close()
      await behind.close()
    })
    const { server } = house
    expect(server.headersTimeout).toBe(60_000)
    expect(server.requestTimeout).toBe(300_000)
    expect(server.maxConnections).toBe(20_000)

    const authorization = `Authorization: Bearer ${house.token()}`
    const head = `POST /mcp/c1 HTTP/1.1\r\n${house.host}\r\n`
    const SLOW = [
      '',
      'P',
      head,
      `${head}X-Slow: `,
      `${head}${authorization}\r\nContent-Length: 100\r\n\r\n{`,
      `${head}Content-Length: 100\r\n\r\n{`,
    ]
    const open = (): Promise<number> =>
      new Promise((resolve) => server.getConnections((_, count) => resolve(count)))
    let closed = 0
    for (let count = 0; count < SOCKETS; count += 1) {
      const socket = connect(house.port, '127.0.0.1')
      socket.on('error', () => undefined)
      socket.on('data', () => undefined)
      socket.once('close', () => {
        closed += 1
      })
      socket.write(SLOW[count % SLOW.length] ?? '')
      sockets.push(socket)
      // In waves, so that the queue of the kernel does not drop what the test means to open.
      if (count % 250 === 249) await until(async () => (await open()) + closed > count, 'a wave')
    }
    // Bodies without a valid token are refused at once and closed; everything else is still waiting.
    const waiting = await open()
    expect(waiting).toBeGreaterThan(SOCKETS / 2)
    const call = request(
      'POST',
      '/mcp/c1',
      [house.host, authorization, 'Content-Type: application/json'],
      CALL,
    )
    for (let round = 0; round < 100; round += 1)
      expect((await raw(house.port, call)).status).toBe(200)
    expect(await open()).toBeGreaterThan(SOCKETS / 2)

    // The same clocks, shorter: what never was a request, half a head, half a body.
    server.headersTimeout = 200
    server.requestTimeout = 400
    await until(() => closed === SOCKETS, 'the end of the slow sockets')
    expect((await raw(house.port, call)).status).toBe(200)
  })

  it('D2: beyond the cap a new connection is closed, and one that ends makes room', async () => {
    const behind = await startServer()
    const house = await startGateway({ connectors: [{ name: 'c1', url: `${behind.origin}/mcp` }] })
    const sockets: Socket[] = []
    onTestFinished(async () => {
      for (const socket of sockets) socket.destroy()
      await house.close()
      await behind.close()
    })
    house.server.maxConnections = 8
    let closed = 0
    for (let count = 0; count < 12; count += 1) {
      const socket = connect(house.port, '127.0.0.1')
      socket.on('error', () => undefined)
      socket.once('close', () => {
        closed += 1
      })
      sockets.push(socket)
    }
    await until(() => closed === 4, 'the cap')
    for (const socket of sockets) socket.destroy()
    await until(() => closed === 12, 'the end of all')
    const status = request('GET', '/mcp/c1', [house.host])
    expect(parseAnswer((await raw(house.port, status)).text).status).toBe(401)
  })
})

describe('D4: tables that grow', { timeout: TIMEOUT_MS }, () => {
  const DEAD = LONG ? 1_000_000 : 100_000
  const SWEEPS = LONG ? DEAD / 100 : 100

  it('D4: a sweep of a big table is single statements of at most 100 rows, by an index, between other writes', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'postern-sweep-'))
    const path = join(folder, 'postern.db')
    const runtime = createTestRuntime()
    const { store: opened, sql } = await openSqlite({ path, runtime })
    onTestFinished(async () => {
      await opened.close()
      await rm(folder, { recursive: true, force: true })
    })
    fillDead(path, DEAD, runtime.nowMs() - 3_600_000)
    const writes: { statements: readonly Statement[]; changes: number }[] = []
    const counting: Sql = {
      ...sql,
      async write(statement) {
        const result = await sql.write(statement)
        writes.push({ statements: [statement], changes: result.changes })
        return result
      },
      commit(statements) {
        writes.push({ statements, changes: 0 })
        return sql.commit(statements)
      },
    }
    const store = createSqlStore(counting)
    const living = { tenant: TENANT, id: 'living' }
    const expiresAtMs = runtime.nowMs() + 1_000
    for (let count = 0; count < SWEEPS; count += 1) {
      const [swept, made] = await Promise.all([
        store.sweep(runtime.nowMs(), 100),
        store.create('spent', { ...living, id: `living-${count}` }, { purpose: 'x', expiresAtMs }),
      ])
      expect([swept.removed, made.won]).toEqual([100, true])
    }
    const deletes = writes.filter(({ statements }) => statements[0]?.sql.startsWith('DELETE'))
    expect(deletes.length).toBeGreaterThanOrEqual(SWEEPS)
    for (const { statements, changes } of deletes) {
      expect(statements).toHaveLength(1)
      expect(changes).toBeLessThanOrEqual(100)
    }
    const database = new DatabaseSync(path, { readOnly: true })
    onTestFinished(() => database.close())
    for (const text of new Set(deletes.map(({ statements }) => statements[0]?.sql ?? ''))) {
      const plan = database.prepare(`EXPLAIN QUERY PLAN ${text}`).all(0, 100)
      const steps = plan.map((row) => String(row['detail']))
      expect(steps.join('\n')).toMatch(/USING (COVERING )?INDEX \w+_expiry/)
      expect(steps.filter((step) => /^SCAN (records|grants|revocations)/.test(step))).toEqual([])
    }
    const left = database.prepare(`SELECT COUNT(*) AS n FROM records WHERE id LIKE 'dead-%'`).get()
    expect(left?.['n']).toBe(DEAD - SWEEPS * 100)
  })
})

function fillDead(path: string, count: number, expiredAtMs: number): void {
  const database = new DatabaseSync(path)
  const insert = database.prepare(
    `INSERT INTO records (tenant, kind, id, data, version, expires_at) VALUES (?, ?, ?, '{}', 1, ?)`,
  )
  const kinds = ['attempt', 'transaction', 'approval', 'session', 'audit']
  database.exec('BEGIN')
  for (let row = 0; row < count; row += 1) {
    insert.run(TENANT, kinds[row % kinds.length] ?? '', `dead-${row}`, expiredAtMs - row)
  }
  database.exec('COMMIT')
  database.close()
}

describe('D5: a flood of log lines', { timeout: TIMEOUT_MS }, () => {
  const REFUSALS = LONG ? 1_000_000 : 20_000
  const LINES_PER_SECOND = 200

  it.each(['info', 'error'] as const)(
    'D5: at most the cap per second of level %s is written, the rest is counted',
    async (level) => {
      let lines = 0
      const emit = createNodeEmit({ write: () => (lines += 1) })
      emit.configure({ level: 'debug', format: 'json' }, undefined)
      const startedMs = performance.now()
      for (let count = 0; count < REFUSALS; count += 1)
        emit.event({ type: 'call.refused', level, reason: 'token' })
      const seconds = Math.floor((performance.now() - startedMs) / 1_000) + 2
      expect(lines).toBeLessThanOrEqual(seconds * LINES_PER_SECOND)
      expect(lines).toBeGreaterThan(0)
      const dropped = /^postern_events_dropped_total (\d+)$/m.exec(await emit.metrics.text())?.[1]
      expect(Number(dropped)).toBe(REFUSALS - lines)
    },
  )

  it('D5: an error is written in the middle of a flood of refusals', () => {
    const lines: string[] = []
    const emit = createNodeEmit({ write: (line) => lines.push(line) })
    emit.configure({ level: 'debug', format: 'json' }, undefined)
    for (let count = 0; count < 2_000; count += 1)
      emit.event({ type: 'call.refused', reason: 'token' })
    emit.event({ type: 'server.failed', reason: 'keys' })
    expect(lines.at(-1)).toContain('server.failed')
  })
})

describe('K9: file handles are used up', { timeout: TIMEOUT_MS }, () => {
  it('K9: the house sheds connections, stays alive, answers again, and stops and starts clean', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'postern-handles-'))
    const port = await freePort()
    const issuer = `http://127.0.0.1:${port}`
    const file = join(folder, 'postern.config.json')
    const databaseUrl = `sqlite:${join(folder, 'data', 'postern.db')}`
    const listen = { port, metricsPort: 0 }
    await writeFile(
      file,
      JSON.stringify({ issuer, listen, databaseUrl, insecureDevelopmentSignIn: true }),
    )
    const house = await serveWithFewHandles(file)
    onTestFinished(async () => {
      await house.stop()
      await rm(folder, { recursive: true, force: true })
    })
    expect((await fetch(`${issuer}/readyz`)).status).toBe(200)

    const sockets = Array.from({ length: 200 }, () => connect(port, '127.0.0.1'))
    let refused = 0
    for (const socket of sockets) {
      socket.on('error', () => undefined)
      socket.once('close', () => {
        refused += 1
      })
      socket.write('GET /healthz HTTP/1.1\r\n')
    }
    await until(() => refused >= 100, 'shed connections')
    expect(house.exitCode()).toBeNull()
    for (const socket of sockets) socket.destroy()
    await until(() => refused === sockets.length, 'the end of all sockets')
    const agentless = { headers: { connection: 'close' } }
    expect((await fetch(`${issuer}/readyz`, agentless)).status).toBe(200)
    const documents = await fetch(`${issuer}/.well-known/oauth-authorization-server`, agentless)
    expect(documents.status).toBe(200)
    expect(await house.stop()).toBe(0)

    const again = await serveWithFewHandles(file)
    expect((await fetch(`${issuer}/readyz`, agentless)).status).toBe(200)
    expect(await again.stop()).toBe(0)
  })
})

const ENTRY = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const HANDLES = 64

async function serveWithFewHandles(file: string) {
  const { PATH, HOME } = process.env
  const script = `ulimit -n ${HANDLES}; exec "$0" "$@"`
  const child = spawn(
    '/bin/sh',
    ['-c', script, process.execPath, ENTRY, 'serve', '--config', file],
    {
      env: { PATH, HOME, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const gone = new Promise<number | null>((resolve) => child.once('close', resolve))
  let output = ''
  await new Promise<void>((resolve, reject) => {
    const read = (chunk: Buffer): void => {
      output += chunk.toString('utf8')
      if (/^ready /m.test(output)) resolve()
    }
    child.stdout.on('data', read)
    child.stderr.on('data', read)
    void gone.then(() => reject(new Error(`serve ended:\n${output}`)))
  })
  return {
    exitCode: () => child.exitCode,
    stop: () => {
      child.kill('SIGTERM')
      return gone
    },
  }
}

describe('K17: what is taken is given back', { timeout: TIMEOUT_MS }, () => {
  const ROUNDS = LONG ? 400 : 40
  const CALLS = LONG ? 50 : 10
  /** The provider of the test lives by the real clock: all rounds together stay below its hour. */
  const ROUND_MS = LONG ? 4_000 : 10_000

  it('K17: sign-ins, refreshes, calls and refusals leave no socket, handle, timer or heap behind', async () => {
    const plane = await openPlane({ provider: 'openid' })
    const caller = await plane.signIn()
    let { refreshToken = '' } = caller
    const round = async (index: number): Promise<void> => {
      if (index % 10 === 0) await plane.signIn(index % 20 === 0 ? 'ada' : 'grace')
      const { status, body } = await plane.refresh({ ...caller, refreshToken })
      expect(status).toBe(200)
      refreshToken = String(body['refresh_token'])
      for (let call = 0; call < CALLS; call += 1) {
        expect((await plane.call({ accessToken: String(body['access_token']) })).status).toBe(200)
        expect((await plane.call({ accessToken: `bad.${index}.${call}` })).status).toBe(401)
      }
      await plane.elapse(ROUND_MS, 2_000)
    }
    // The first rounds load and fill what stays.
    for (let index = 0; index < ROUNDS / 2; index += 1) await round(index)
    forgetEvents(plane)
    const before = { ...(await resources()), timers: plane.timers() }
    for (let index = 0; index < ROUNDS; index += 1) await round(index)
    forgetEvents(plane)
    const after = { ...(await resources()), timers: plane.timers() }
    for (const name of new Set([...Object.keys(before.held), ...Object.keys(after.held)])) {
      // A few sockets are kept alive on purpose, at either end.
      expect([name, (after.held[name] ?? 0) - (before.held[name] ?? 0) <= 4]).toEqual([name, true])
    }
    expect(after.timers - before.timers).toBeLessThanOrEqual(8)
    const grownBytes = after.heapBytes - before.heapBytes
    expect(grownBytes).toBeLessThan(8 * 1_048_576)
  })
})

/** The kit keeps every event of the house: its memory, not the product's. */
function forgetEvents({ events }: { readonly events: readonly unknown[] }): void {
  const kept = events as unknown[]
  kept.length = 0
}

async function resources(): Promise<{ held: Readonly<Record<string, number>>; heapBytes: number }> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let turn = 0; turn < 3; turn += 1) {
    collect()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const held: Record<string, number> = {}
  for (const name of process.getActiveResourcesInfo()) held[name] = (held[name] ?? 0) + 1
  return { held, heapBytes: process.memoryUsage().heapUsed }
}
