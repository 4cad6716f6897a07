/**
 * The other process of the SQLite tests. `consume <path> <items>` races for single-use records;
 * `write <path> <from>` writes two-row units for ever and reports each one that was answered. `close <path>` and
 * `leave <path>` write once and end with or without closing.
 */
import { writeSync } from 'node:fs'
import { openSqlite } from '../../src/adapters/sqlite.ts'
import { createNodeRuntime } from '../../src/node/runtime.ts'
import { key, NOW_MS, session, user } from './harness.ts'

const STDOUT = 1
const WRITERS = 16

const [verb, path = '', number = '0'] = process.argv.slice(2)
const { store } = await openSqlite({ path, runtime: createNodeRuntime() })

if (verb === 'consume') {
  writeSync(STDOUT, 'ready\n')
  await new Promise((resolve) => process.stdin.once('data', resolve))
  const results = await Promise.all(
    Array.from({ length: Number(number) }, (_, n) =>
      store.consume('attempt', key(`item-${n}`), 'child', NOW_MS),
    ),
  )
  const won = results.flatMap((result, n) => (typeof result === 'object' ? [n] : []))
  writeSync(STDOUT, `${JSON.stringify(won)}\n`)
  await store.close()
  process.stdin.destroy()
} else if (verb === 'close') {
  await store.create('user', key('closing'), user('closing'))
  await store.close()
} else if (verb === 'leave') {
  await store.create('user', key('leaving'), user('leaving'))
} else {
  let next = Number(number)
  const writer = async (): Promise<void> => {
    for (;;) {
      const id = `w${next}`
      next += 1
      await store.commit([
        { verb: 'create', kind: 'user', key: key(id), value: user(id) },
        { verb: 'create', kind: 'session', key: key(id), value: session(id) },
      ])
      writeSync(STDOUT, `${id}\n`)
    }
  }
  await Promise.all(Array.from({ length: WRITERS }, writer))
}
