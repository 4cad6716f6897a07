/**
 * The `POSTERN_*` environment: one name per field, short names for host and port, `_FILE` for
 * secrets. Unknown names are refused; what Kubernetes injects for a Service called `postern` is not.
 */
import { ConfigError } from '../errors.ts'
import { PROVIDER_TYPES } from '../providers/index.ts'
import {
  CONNECTOR_CREDENTIALS,
  connectorVariable,
  environmentName,
  FIELDS,
  LIMIT_FIELDS,
} from './fields.ts'
import { nearest, readReference, type Sources } from './values.ts'

const SHORT_NAMES: Readonly<Record<string, string>> = {
  POSTERN_PORT: 'listen.port',
  POSTERN_HOST: 'listen.host',
}
/** Read elsewhere: not a scalar field. */
const OTHER_NAMES = ['POSTERN_ALLOW']
/** Names below these are not judged when nothing in the configuration has them. */
const KNOWN_BASES = [
  'POSTERN_CONNECTOR',
  'POSTERN_TENANT',
  ...PROVIDER_TYPES.map(({ type }) => environmentName(type)),
]
const KUBERNETES = /_SERVICE_HOST$|_SERVICE_PORT(_.*)?$|_TCP(_.*)?$|_UDP(_.*)?$/

/** Values by field path. A short name wins over the long one. */
export function environmentValues(sources: Sources): ReadonlyMap<string, unknown> {
  const values = new Map<string, unknown>()
  for (const entry of [...FIELDS, ...LIMIT_FIELDS]) {
    if (entry.environment === undefined) continue
    const direct = sources.environment[entry.environment]
    if (direct !== undefined && direct !== '' && !isKubernetes(entry.environment, direct)) {
      values.set(entry.path, direct)
      continue
    }
    const file =
      entry.type === 'secret' ? sources.environment[`${entry.environment}_FILE`] : undefined
    if (file !== undefined)
      values.set(entry.path, readReference(`${entry.environment}_FILE`, file, sources))
  }
  for (const [name, path] of Object.entries(SHORT_NAMES)) {
    const value = sources.environment[name]
    if (value !== undefined && value !== '' && !isKubernetes(name, value)) values.set(path, value)
  }
  const allow = sources.environment.POSTERN_ALLOW
  if (allow !== undefined && allow !== '')
    values.set('allow', allow === 'anyone' ? allow : allowFromList(allow))
  return values
}

/** `POSTERN_ALLOW` and `--allow`: `anyone`, or e-mail addresses and domains with commas. */
export function allowFromList(list: string): { emails: string[]; emailDomains: string[] } {
  const entries = list
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
  return {
    emails: entries.filter((entry) => entry.includes('@')),
    emailDomains: entries.filter((entry) => !entry.includes('@')),
  }
}

function isKubernetes(name: string, value: string): boolean {
  return KUBERNETES.test(name) || (name === 'POSTERN_PORT' && value.startsWith('tcp://'))
}

/** Names of the environment that Kubernetes injected: told once at start, never read. */
export function ignoredEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  return Object.entries(environment)
    .filter(
      ([name, value]) =>
        name.startsWith('POSTERN_') && value !== undefined && isKubernetes(name, value),
    )
    .map(([name]) => name)
}

export function refuseUnknownEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  house: {
    providers: readonly { id: string; type: string }[]
    connectors: readonly { name: string }[]
  },
): void {
  const known = knownNames(house)
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('POSTERN_') || value === undefined || isKubernetes(name, value)) continue
    // The test runner and the demo speak to their own children by these.
    if (
      known.includes(name) ||
      name.startsWith('POSTERN_TEST_') ||
      name.startsWith('POSTERN_DEMO_')
    )
      continue
    if (KNOWN_BASES.some((base) => name.startsWith(`${base}_`))) continue
    const near = nearest(name, known)
    throw new ConfigError(
      'ERR_CONFIG_UNKNOWN_FIELD',
      `${name} is not a setting.`,
      near === undefined
        ? 'Unset it, or see docs/configuration.md for the names.'
        : `Did you mean ${near}?`,
    )
  }
}

function knownNames(house: {
  providers: readonly { id: string; type: string }[]
  connectors: readonly { name: string }[]
}): readonly string[] {
  const names = [...Object.keys(SHORT_NAMES), ...OTHER_NAMES]
  for (const entry of [...FIELDS, ...LIMIT_FIELDS]) {
    if (entry.environment === undefined) continue
    names.push(entry.environment)
    if (entry.type === 'secret') names.push(`${entry.environment}_FILE`)
  }
  for (const { id, type } of house.providers) {
    const base = environmentName(id)
    const options = PROVIDER_TYPES.find((entry) => entry.type === type)?.options ?? []
    for (const credential of ['CLIENT_ID', 'CLIENT_SECRET']) {
      names.push(`${base}_${credential}`, `${base}_${credential}_FILE`)
    }
    for (const { environmentSuffix, kind } of options) {
      if (environmentSuffix === undefined) continue
      names.push(`${base}_${environmentSuffix}`)
      if (kind === 'secret') names.push(`${base}_${environmentSuffix}_FILE`)
    }
  }
  for (const { name } of house.connectors) {
    for (const credential of CONNECTOR_CREDENTIALS) {
      const variable = connectorVariable(name, credential)
      names.push(variable, `${variable}_FILE`)
    }
  }
  return names
}
