/**
 * Bad-input families (threats.md section 4): many cases, one judgement, a failure that can be replayed.
 *
 * The seed is fixed in `npm test` and fresh in `test:long`; `POSTERN_TEST_SEED` replays one. A failure
 * names family, seed, case number, count and the input.
 */
import fc from 'fast-check'
import { OAuthError } from '../../src/errors.ts'

const USUAL_SEED = 20_260_101
const environment = process.env
/** `npm run test:long`: the whole counts of threats.md section 4, with a fresh seed. */
const IS_LONG = environment.POSTERN_TEST_LONG === '1'
export const SEED =
  environment.POSTERN_TEST_SEED !== undefined
    ? Number(environment.POSTERN_TEST_SEED)
    : IS_LONG
      ? Date.now() % 2_147_483_647
      : USUAL_SEED

/** How many inputs of a family a test takes: all of the table in `test:long`, a tenth otherwise. */
export function countOf(full: number): number {
  return IS_LONG ? full : Math.ceil(full / 10)
}

/** `count` values of a list in seeded order; every one comes once before any comes twice. */
export function sample<T>(values: readonly T[], count: number): T[] {
  const draw = createDraw()
  const taken: T[] = []
  while (taken.length < count && values.length > 0) {
    const left = [...values]
    while (left.length > 0 && taken.length < count)
      taken.push(...left.splice(draw.whole(left.length), 1))
  }
  return taken
}

/** Any text a JavaScript string can be: controls, lone surrogates, all planes, and much plain ASCII. */
export const anyText: fc.Arbitrary<string> = fc.string({
  unit: fc.oneof(
    { weight: 3, arbitrary: fc.nat(0x7f).map((code) => String.fromCharCode(code)) },
    { weight: 1, arbitrary: fc.nat(0xffff).map((code) => String.fromCharCode(code)) },
    { weight: 1, arbitrary: fc.nat(0x10ffff).map((code) => String.fromCodePoint(code)) },
  ),
  maxLength: 200,
})

/** Seeded choices of one family. */
export interface Draw {
  /** A whole number in [0, below). */
  whole(below: number): number
  pick<T>(values: readonly [T, ...T[]] | readonly T[]): T
}

export function createDraw(seed: number = SEED): Draw {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  return {
    whole: (below) => Math.floor(next() * below),
    pick(values) {
      const value = values[Math.floor(next() * values.length)]
      if (value === undefined) throw new TypeError('nothing to pick from')
      return value
    },
  }
}

/**
 * Judges every case; `judge` throws (an expectation) or returns false where the family fails. One line
 * for the record says which family ran where, from which seed, over how many inputs.
 *
 * @param atOnce How many are judged side by side. Default one after another.
 */
export async function checkFamily<T>(
  id: string,
  cases: readonly T[],
  judge: (value: T) => unknown,
  atOnce = 1,
): Promise<void> {
  console.info(`family ${id}: seed ${SEED}, ${cases.length} inputs`)
  const left = [...cases.entries()]
  const lane = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      try {
        await judgeOne(id, next, cases.length, judge)
      } catch (error) {
        left.length = 0
        throw error
      }
    }
  }
  const lanes = await Promise.allSettled(Array.from({ length: atOnce }, lane))
  for (const ended of lanes) if (ended.status === 'rejected') throw ended.reason
}

async function judgeOne<T>(
  id: string,
  [index, value]: readonly [number, T],
  count: number,
  judge: (value: T) => unknown,
): Promise<void> {
  try {
    if ((await judge(value)) === false) throw new Error('wrongly accepted')
  } catch (cause) {
    const input = typeof value === 'string' ? JSON.stringify(value) : show(value)
    const place = `${id}: case ${index + 1} of ${count}, seed ${SEED}`
    throw new Error(`${place}: ${input.slice(0, 2_000)}: ${String(cause)}`, { cause })
  }
}

/** `count` different texts out of `make`. */
export function distinct(count: number, make: (draw: Draw, index: number) => string): string[] {
  const draw = createDraw()
  const texts = new Set<string>()
  for (let index = 0; texts.size < count && index < count * 200; index += 1) {
    texts.add(make(draw, index))
  }
  if (texts.size < count) throw new Error(`only ${texts.size} of ${count} cases, seed ${SEED}`)
  return [...texts]
}

/** The value, or the one kind of error that a parser may throw; anything else is a bug and goes up. */
export function outcomeOf<T>(work: () => T): T | OAuthError {
  try {
    return work()
  } catch (error) {
    if (error instanceof OAuthError) return error
    throw error
  }
}

/** The `error` code of what `work` throws; `undefined` when it returns. */
export function errorOf(work: () => unknown): string | undefined {
  const outcome = outcomeOf(work)
  return outcome instanceof OAuthError ? outcome.error : undefined
}

function show(value: unknown): string {
  if (value instanceof Uint8Array) return JSON.stringify(Buffer.from(value).toString('latin1'))
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return String(value)
  }
}
