/**
 * The fields of the table, read: each value comes from a flag, else the environment, else the file,
 * else the table's default, and is handed out by path with the type that the table gives it.
 *
 * Asking for a field with the wrong type is our own mistake: `TypeError`.
 */
import { Secret } from '../secret.ts'
import { FIELDS, LIMIT_FIELDS, LIMITS, type Limits } from './fields.ts'
import type { Sources } from './values.ts'
import * as read from './values.ts'

const TABLE = [...FIELDS, ...LIMIT_FIELDS]

export class FieldValues {
  readonly #values: ReadonlyMap<string, unknown>

  private constructor(values: ReadonlyMap<string, unknown>) {
    this.#values = values
  }

  /** @throws {ConfigError} for a value outside its type or range, and for a name that is no field. */
  static read(
    raw: Readonly<Record<string, unknown>>,
    given: {
      readonly overrides: Readonly<Record<string, string>>
      readonly environment: ReadonlyMap<string, unknown>
    },
    sources: Sources,
  ): FieldValues {
    const values = new Map<string, unknown>()
    for (const entry of TABLE) {
      const { path } = entry
      const said = given.overrides[path] ?? given.environment.get(path) ?? member(raw, path)
      const value = said === undefined ? entry.default : read.readField(entry, said, sources)
      if (value !== undefined) values.set(path, value)
    }
    refuseUnknownMembers(raw)
    return new FieldValues(values)
  }

  text(path: string): string {
    return this.findText(path) ?? refuseType(path)
  }

  /** `undefined` for a field that has no default and was not given. */
  findText(path: string): string | undefined {
    const value = this.#values.get(path)
    return value === undefined || typeof value === 'string' ? value : refuseType(path)
  }

  choice<T extends string>(path: string, choices: readonly T[]): T {
    return choices.find((candidate) => candidate === this.#values.get(path)) ?? refuseType(path)
  }

  integer(path: string): number {
    const value = this.#values.get(path)
    return typeof value === 'number' ? value : refuseType(path)
  }

  boolean(path: string): boolean {
    const value = this.#values.get(path)
    return typeof value === 'boolean' ? value : refuseType(path)
  }

  list(path: string): readonly string[] {
    const value = this.#values.get(path)
    return isTextList(value) ? value : refuseType(path)
  }

  findSecret(path: string): Secret | undefined {
    const value = this.#values.get(path)
    return value === undefined || value instanceof Secret ? value : refuseType(path)
  }

  limits(): Limits {
    const names = Object.keys(LIMITS)
    const limits = names.map((name) => [name, this.integer(`limits.${name}`)])
    // The table's own names, each with its integer: what `Limits` says.
    return Object.freeze(Object.fromEntries(limits)) as Limits
  }
}

function member(raw: Readonly<Record<string, unknown>>, path: string): unknown {
  const [group, name] = path.split('.')
  if (group === undefined) return undefined
  if (name === undefined) return raw[group]
  const inner = raw[group]
  return inner === undefined ? undefined : read.record(group, inner)[name]
}

function refuseUnknownMembers(raw: Readonly<Record<string, unknown>>): void {
  const groups = new Map<string, string[]>()
  for (const { path } of TABLE) {
    const [group, name] = path.split('.')
    if (group !== undefined && name !== undefined)
      groups.set(group, [...(groups.get(group) ?? []), name])
  }
  for (const [group, names] of groups) {
    if (raw[group] !== undefined) read.refuseUnknown(group, read.record(group, raw[group]), names)
  }
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string')
}

function refuseType(path: string): never {
  throw new TypeError(`the table of fields gives ${path} another type`)
}
