/**
 * `postern keys`: `new` prints a sealing key and keeps it nowhere; `list` and `rotate` are about the
 * signing keys in the store. A rotation is taken up by running nodes within a minute, an emergency
 * within 5 s.
 */
import { randomBytes } from 'node:crypto'
import { defineCommand } from 'citty'
import { ConfigError } from '../errors.ts'
import type { KeyState } from '../issuer/keys.ts'
import {
  answerNo,
  confirmed,
  OPERATING_ARGS,
  type OperatingArguments,
  operate,
  print,
  progress,
} from './operating.ts'

const listCommand = defineCommand({
  meta: { name: 'list', description: 'Shows the signing keys. Example: postern keys list --json' },
  args: OPERATING_ARGS,
  async run({ args }) {
    await operate(args, async (operations) => {
      const keys = operations.keys().map(dated)
      print(args, { keys }, [
        `${'KID'.padEnd(43)}  STATE    PUBLISHED             SIGNS FROM            VERIFIES UNTIL`,
        ...keys.map(
          ({ kid, state, published, signsFrom, verifiesUntil }) =>
            `${kid}  ${state.padEnd(7)}  ${published}  ${signsFrom}  ${verifiesUntil ?? '-'}`,
        ),
      ])
    })
  },
})

const rotateCommand = defineCommand({
  meta: {
    name: 'rotate',
    description: 'Publishes the next signing key. Example: postern keys rotate --emergency --yes',
  },
  args: {
    kid: { type: 'positional', description: 'With --emergency: only this key', required: false },
    emergency: { type: 'boolean', description: 'Withdraw keys now: their tokens are refused' },
    sealing: { type: 'boolean', description: 'Seal everything again under the first sealing key' },
    ...OPERATING_ARGS,
  },
  async run({ args }) {
    const emergency = args.emergency === true
    const { kid } = args
    if (args.sealing === true) return rotateSealing(args, kid !== undefined || emergency)
    if (kid !== undefined && !emergency) {
      throw new ConfigError(
        'ERR_CONFIG_UNKNOWN_FLAG',
        'a key is named only to withdraw it.',
        'Add --emergency, or leave the key out.',
      )
    }
    await operate(args, async (operations) => {
      if (kid !== undefined && !operations.keys().some((known) => known.kid === kid))
        return answerNo(args, `there is no key ${kid}`)
      const what = `withdraw ${kid ?? 'every signing key'} and refuse what it signed`
      if (emergency && !(await confirmed(args, what))) return answerNo(args, 'nothing was done')
      const rotated = await operations.rotateKeys({
        emergency,
        ...(kid === undefined ? {} : { kid }),
      })
      const { withdrawn } = rotated
      print(args, { done: true, kid: rotated.kid, withdrawn, keys: operations.keys().map(dated) }, [
        ...(rotated.kid === undefined ? [] : [`new        ${rotated.kid}`]),
        ...withdrawn.map((id) => `withdrawn  ${id}`),
      ])
    })
  },
})

/** Exit 1 when the older key is still needed. */
async function rotateSealing(args: OperatingArguments, isMixed: boolean): Promise<void> {
  if (isMixed) {
    throw new ConfigError(
      'ERR_CONFIG_UNKNOWN_FLAG',
      '--sealing is about sealing keys, --emergency and a kid about signing keys.',
      'Run them one after the other.',
    )
  }
  await operate(args, async (operations) => {
    const done = await operations.reseal((rows) => progress(args, `sealed again: ${rows} rows`))
    const { resealed, left, unreadable } = done
    const isDone = left === 0 && unreadable === 0
    if (!isDone) process.exitCode = 1
    print(args, { done: isDone, ...done }, [
      `sealed     ${resealed} rows again, under the first key`,
      ...(left > 0 ? [`left       ${left} rows are in use: run this again`] : []),
      ...(unreadable > 0 ? [`unreadable ${unreadable} rows: no configured key opens them`] : []),
      isDone
        ? 'next       when every node runs with the new key first, drop the old one'
        : 'next       keep the old key',
    ])
  })
}

export const keysCommand = defineCommand({
  meta: {
    name: 'keys',
    description: 'Makes keys. Example: export POSTERN_SEALING_KEY=$(postern keys new)',
  },
  subCommands: {
    new: defineCommand({
      meta: { name: 'new', description: 'Prints a new sealing key (32 bytes, base64url).' },
      run() {
        console.log(randomBytes(32).toString('base64url'))
      },
    }),
    list: listCommand,
    rotate: rotateCommand,
  },
})

interface Dated {
  readonly kid: string
  readonly state: KeyState['state']
  readonly published: string
  readonly signsFrom: string
  readonly verifiesUntil?: string
}

function dated({ kid, state, publishedAtMs, activeAtMs, expiresAtMs }: KeyState): Dated {
  return {
    kid,
    state,
    published: time(publishedAtMs),
    signsFrom: time(activeAtMs),
    ...(expiresAtMs === undefined ? {} : { verifiesUntil: time(expiresAtMs) }),
  }
}

function time(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19)}Z`
}
