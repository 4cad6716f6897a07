/**
 * `postern keys`: `new` prints a sealing key and keeps it nowhere; `list` and `rotate` are about the
 * signing keys in the store. A rotation is taken up by running nodes within a minute, an emergency
 * within 5 s.
 */
import { randomBytes } from 'node:crypto'
import { defineCommand } from 'citty'
import { ConfigError } from '../errors.ts'
import type { KeyState } from '../issuer/keys.ts'
import { answerNo, confirmed, OPERATING_ARGS, operate, print } from './operating.ts'

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
    ...OPERATING_ARGS,
  },
  async run({ args }) {
    const emergency = args.emergency === true
    const { kid } = args
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
