/**
 * Reads raw configuration values: strings that point at the environment or a file, numbers with a
 * range, URLs, lists. Every refusal names the field and what it should be; never a secret's value.
 */
import { ConfigError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Field } from './fields.ts'

/** Where values come from besides the file itself. */
export interface Sources {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Reads a secret file; absent where there is no file system. */
  readonly readFile?: (path: string) => string
}

export function invalid(path: string, mustBe: string, fix = `Correct ${path}.`): ConfigError {
  return new ConfigError('ERR_CONFIG_VALUE', `${path} must be ${mustBe}.`, fix, path)
}

/** `env:NAME` and `file:/path` stand for what they point at (api.md section 1). */
export function resolveText(path: string, text: string, sources: Sources): string {
  if (text.startsWith('env:')) {
    const name = text.slice(4)
    const value = sources.environment[name]
    if (value === undefined || value === '') {
      throw new ConfigError(
        'ERR_CONFIG_REFERENCE',
        `${path} points at ${name}, which is not set.`,
        `Set ${name} in the environment or in .env.`,
      )
    }
    return value
  }
  if (text.startsWith('file:')) return readReference(path, text.slice(5), sources)
  return text
}

export function readReference(path: string, file: string, sources: Sources): string {
  try {
    if (sources.readFile !== undefined) return sources.readFile(file).replace(/\r?\n$/, '')
  } catch {
    // The message below is all that helps; the cause may carry nothing but the same path.
  }
  throw new ConfigError(
    'ERR_CONFIG_REFERENCE',
    `${path} points at the file ${file}, which cannot be read.`,
    'Create the file, or correct its path and permissions.',
  )
}

/** Own members of a plain object, or a refusal that names the field. */
export function record(path: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(path === '' ? 'the configuration' : path, 'an object')
  }
  return value as Readonly<Record<string, unknown>>
}

export function text(path: string, value: unknown, sources: Sources): string {
  if (typeof value !== 'string') throw invalid(path, 'a string')
  return wellFormed(path, resolveText(path, value, sources))
}

function wellFormed(path: string, value: string): string {
  if (!value.isWellFormed() || /[\u0000-\u001f\u007f]/.test(value)) {
    throw invalid(path, 'text without control characters')
  }
  return value
}

export function secret(path: string, value: unknown, sources: Sources): Secret {
  const resolved = text(path, value, sources)
  if (resolved.length === 0) throw invalid(path, 'a secret that is not empty')
  return new Secret(resolved)
}

export function list(path: string, value: unknown, sources: Sources): readonly string[] {
  if (typeof value === 'string') {
    return resolveText(path, value, sources)
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '')
  }
  if (!Array.isArray(value)) throw invalid(path, 'a list of strings')
  return value.map((item, index) => text(`${path}[${index}]`, item, sources))
}

export function url(path: string, value: unknown, sources: Sources): URL {
  const raw = text(path, value, sources)
  const parsed = URL.canParse(raw) ? new URL(raw) : undefined
  if (parsed === undefined || (parsed.protocol !== 'https:' && parsed.protocol !== 'http:')) {
    throw invalid(path, 'an absolute http or https URL')
  }
  if (parsed.username !== '' || parsed.password !== '')
    throw invalid(path, 'a URL without user name or password')
  if (parsed.hash !== '') throw invalid(path, 'a URL without a fragment')
  return parsed
}

export function integer(
  path: string,
  value: unknown,
  range: { min: number; max: number },
  sources: Sources,
): number {
  const given = typeof value === 'string' ? resolveText(path, value, sources).trim() : value
  const parsed = typeof given === 'string' && /^-?\d{1,16}$/.test(given) ? Number(given) : given
  if (
    typeof parsed !== 'number' ||
    !Number.isSafeInteger(parsed) ||
    parsed < range.min ||
    parsed > range.max
  ) {
    throw invalid(path, `a whole number from ${range.min} to ${range.max}`)
  }
  return parsed
}

export function boolean(path: string, value: unknown, sources: Sources): boolean {
  const given =
    typeof value === 'string' ? resolveText(path, value, sources).trim().toLowerCase() : value
  if (given === true || given === 'true' || given === '1') return true
  if (given === false || given === 'false' || given === '0') return false
  throw invalid(path, 'true or false')
}

export function choice<T extends string>(
  path: string,
  value: unknown,
  choices: readonly T[],
  sources: Sources,
): T {
  const given = text(path, value, sources)
  const found = choices.find((candidate) => candidate === given)
  if (found === undefined) throw invalid(path, `one of ${choices.join(', ')}`)
  return found
}

/** One field of the table, read by its type. */
export function readField(entry: Field, value: unknown, sources: Sources): unknown {
  switch (entry.type) {
    case 'integer':
      return integer(
        entry.path,
        value,
        { min: entry.min ?? 0, max: entry.max ?? Number.MAX_SAFE_INTEGER },
        sources,
      )
    case 'boolean':
      return boolean(entry.path, value, sources)
    case 'list':
      return list(entry.path, value, sources)
    case 'url':
      return url(entry.path, value, sources) && text(entry.path, value, sources)
    case 'secret':
      return secret(entry.path, value, sources)
    case 'choice':
      return choice(entry.path, value, entry.choices ?? [], sources)
    case 'string':
      return text(entry.path, value, sources)
  }
}

/** Refuses names that are not known, naming the nearest one that is. */
export function refuseUnknown(
  path: string,
  value: Readonly<Record<string, unknown>>,
  known: readonly string[],
): void {
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue
    const at = (field: string) => (path === '' ? field : `${path}.${field}`)
    const near = nearest(name, known)
    throw new ConfigError(
      'ERR_CONFIG_UNKNOWN_FIELD',
      `${at(name)} is not a field.`,
      near === undefined ? `Fields here: ${known.join(', ')}.` : `Did you mean ${at(near)}?`,
      at(name),
    )
  }
}

/** The known word within three edits, or one that contains it; `undefined` when nothing is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = 4
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), bestDistance)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

function editDistance(left: string, right: string, limit: number): number {
  if (Math.abs(left.length - right.length) >= limit || left.length > 128) return limit
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let row = 1; row <= left.length; row++) {
    const current = [row]
    for (let column = 1; column <= right.length; column++) {
      const substitution =
        (previous[column - 1] ?? 0) + (left[row - 1] === right[column - 1] ? 0 : 1)
      current.push(
        Math.min(substitution, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1),
      )
    }
    previous = current
  }
  return previous[right.length] ?? limit
}
