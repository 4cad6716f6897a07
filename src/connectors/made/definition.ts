/**
 * The row of a connector that the API made: what was given, its secrets sealed to the row. They go in
 * and are used, and no answer ever carries them.
 */
import type { ConnectorInput } from '../../config.ts'
import type { Values } from '../../records.ts'
import { definitionOwner } from '../../vault/reseal.ts'
import type { Sealing } from '../../vault/sealing.ts'

export type Definition = Values['definition']

interface Secrets {
  readonly headerValue?: string
  readonly clientSecret?: string
}

/** What makes a secret another one's: it does not go along where one of these changes (O5). */
const BOUND_TO = ['url', 'preset', 'auth', 'pinnedIssuer', 'endpoints'] as const

/** As it was given, without its secrets. */
export function inputOf({ input }: Pick<Definition, 'input'>): ConnectorInput {
  // Written by `sealDefinition`.
  return JSON.parse(input) as ConnectorInput
}

/** With them. @returns `undefined`: sealed by a key that is not here, or damaged. */
export function openDefinition(
  sealing: Pick<Sealing, 'open'>,
  name: string,
  row: Definition,
): ConnectorInput | undefined {
  const input = inputOf(row)
  if (row.sealed === undefined || row.keyId === undefined) return input
  const text = sealing.open(row.sealed, row.keyId, definitionOwner(name))
  if (text === undefined) return undefined
  const { headerValue, clientSecret } = JSON.parse(text) as Secrets
  return {
    ...input,
    ...(headerValue === undefined ? {} : { header: { ...input.header, value: headerValue } }),
    ...(clientSecret === undefined ? {} : { client: { ...input.client, clientSecret } }),
  }
}

export function sealDefinition(
  sealing: Pick<Sealing, 'seal'>,
  name: string,
  given: ConnectorInput,
): Pick<Definition, 'input' | 'sealed' | 'keyId'> {
  const { value: headerValue, ...header } = given.header ?? {}
  const { clientSecret, ...client } = given.client ?? {}
  const open = {
    ...given,
    ...(given.header === undefined ? {} : { header }),
    ...(given.client === undefined ? {} : { client }),
  }
  const input = JSON.stringify(open)
  if (headerValue === undefined && clientSecret === undefined) return { input }
  const secrets: Secrets = {
    ...(headerValue === undefined ? {} : { headerValue }),
    ...(clientSecret === undefined ? {} : { clientSecret }),
  }
  return { input, ...sealing.seal(JSON.stringify(secrets), definitionOwner(name)) }
}

/**
 * A patch in the manner of RFC 7396: `null` takes a member away. Secrets stay unless what they are for
 * changes: then they have to be given again.
 *
 * @param before With its secrets.
 */
export function patched(
  before: ConnectorInput,
  patch: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const merged = merge(before, patch)
  const isBoundElsewhere = BOUND_TO.some((name) => !isSame(member(before, name), merged[name]))
  const clientOf = (value: unknown): Record<string, unknown> => ({
    ...(isRecord(value) ? value : {}),
  })
  const isOtherClient =
    clientOf(member(before, 'client'))['clientId'] !== clientOf(merged['client'])['clientId']
  return {
    ...merged,
    ...without(merged, patch, 'header', 'value', isBoundElsewhere),
    ...without(merged, patch, 'client', 'clientSecret', isBoundElsewhere || isOtherClient),
  }
}

function without(
  merged: Readonly<Record<string, unknown>>,
  patch: Readonly<Record<string, unknown>>,
  holder: string,
  secret: string,
  isCleared: boolean,
): Readonly<Record<string, unknown>> {
  const held = merged[holder]
  const given = patch[holder]
  if (!isCleared || !isRecord(held) || (isRecord(given) && given[secret] !== undefined)) return {}
  const { [secret]: _, ...rest } = held
  return { [holder]: rest }
}

function merge(
  before: object,
  patch: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const merged: Record<string, unknown> = { ...before }
  for (const [name, value] of Object.entries(patch)) {
    const known = merged[name]
    if (value === null) delete merged[name]
    else merged[name] = isRecord(value) && isRecord(known) ? merge(known, value) : value
  }
  return merged
}

function member(input: ConnectorInput, name: keyof ConnectorInput): unknown {
  return input[name]
}

function isSame(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right)
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
