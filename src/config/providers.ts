/**
 * Reads `providers`: each entry is a provider of one's own, or data for a known type. Credentials come
 * from `POSTERN_<ID>_CLIENT_ID` and `POSTERN_<ID>_CLIENT_SECRET` before the file.
 */
import { ConfigError } from '../errors.ts'
import { PROVIDER_TYPES } from '../providers/index.ts'
import {
  isProvider,
  type Provider,
  type ProviderEntry,
  type ProviderOption,
  type ProviderType,
  usualId,
} from '../providers/provider.ts'
import { Secret } from '../secret.ts'
import { environmentName } from './fields.ts'
import type { Sources } from './values.ts'
import * as read from './values.ts'

const COMMON_FIELDS = ['type', 'id', 'title', 'clientId', 'clientSecret', 'scopes', 'callbackPath']

export function readProviders(
  value: unknown,
  house: { issuer: string },
  sources: Sources,
): readonly Provider[] {
  if (!Array.isArray(value)) throw read.invalid('providers', 'a list')
  const providers = value.map((entry: unknown, index) => {
    const given = read.record(`providers[${index}]`, entry) as ProviderEntry
    return isProvider(given)
      ? given
      : readProvider(`providers[${index}]`, given, house.issuer, sources)
  })
  refuseTwins(providers)
  return providers
}

function readProvider(
  at: string,
  input: Readonly<Record<string, unknown>>,
  issuer: string,
  sources: Sources,
): Provider {
  const type = PROVIDER_TYPES.find((candidate) => candidate.type === input.type)
  if (type === undefined) {
    const known = PROVIDER_TYPES.map((candidate) => candidate.type)
    throw read.invalid(`${at}.type`, `one of ${known.join(', ')}`)
  }
  read.refuseUnknown(at, input, [...COMMON_FIELDS, ...type.options.map((option) => option.name)])
  const id = input.id === undefined ? usualId(type.type) : read.text(`${at}.id`, input.id, sources)
  if (!/^[a-z0-9-]{1,40}$/.test(id)) {
    throw read.invalid(`${at}.id`, 'a name of 1 to 40 lower-case letters, digits and hyphens')
  }
  const callbackPath =
    input.callbackPath === undefined
      ? `/callback/${id}`
      : readCallbackPath(at, input.callbackPath, sources)
  const options = Object.fromEntries(
    type.options
      .filter(({ kind }) => kind !== 'secret')
      .map((option) => [option.name, readOption(at, id, option, input[option.name], sources)]),
  )
  const wrong = type.judge?.(options)
  if (wrong !== undefined) {
    throw read.invalid(
      `${at}.${wrong.option}`,
      wrong.mustBe,
      `Set ${at}.${wrong.option}: ${wrong.fix}`,
    )
  }
  const secrets = Object.fromEntries(
    type.options
      .filter(({ kind }) => kind === 'secret')
      .map((option) => [
        option.name,
        readSecretOption(at, id, option, input[option.name], sources),
      ]),
  )
  const credential = (name: 'clientId' | 'clientSecret', suffix: string) =>
    readCredential(at, `${environmentName(id)}_${suffix}`, input[name], name, sources)
  const clientId = credential('clientId', 'CLIENT_ID')
  const clientSecret = credential('clientSecret', 'CLIENT_SECRET')
  const missing = clientId === undefined ? 'clientId' : 'clientSecret'
  if (clientId === undefined || (clientSecret === undefined && type.secretRequired)) {
    throw noCredentials(
      type,
      id,
      missing,
      type.credentialsHint(`${issuer}${callbackPath}`, options),
    )
  }
  return type.create({
    id,
    clientId,
    callbackPath,
    options,
    secrets,
    ...(clientSecret === undefined ? {} : { clientSecret: new Secret(clientSecret) }),
    ...(input.title === undefined ? {} : { title: read.text(`${at}.title`, input.title, sources) }),
    ...(input.scopes === undefined
      ? {}
      : { scopes: read.list(`${at}.scopes`, input.scopes, sources) }),
  })
}

function readCredential(
  at: string,
  variable: string,
  given: unknown,
  name: string,
  sources: Sources,
): string | undefined {
  const direct = sources.environment[variable]
  if (direct !== undefined && direct !== '') return direct
  const file = sources.environment[`${variable}_FILE`]
  if (file !== undefined) return read.readReference(`${variable}_FILE`, file, sources)
  return given === undefined ? undefined : read.text(`${at}.${name}`, given, sources)
}

function readOption(
  at: string,
  id: string,
  option: ProviderOption,
  given: unknown,
  sources: Sources,
): string | undefined {
  const variable =
    option.environmentSuffix === undefined
      ? undefined
      : `${environmentName(id)}_${option.environmentSuffix}`
  const value =
    (variable === undefined ? undefined : sources.environment[variable]) ?? given ?? option.default
  const name = `${at}.${option.name}`
  if (value === undefined) {
    if (option.required !== true) return undefined
    throw read.invalid(name, 'given', `Set ${name}: ${option.sentence}`)
  }
  if (option.kind === 'url') {
    const raw = read.text(name, value, sources)
    const { pattern, mustBe = 'what it says' } = option
    if (pattern !== undefined && !(URL.canParse(raw) && pattern.test(raw)))
      throw read.invalid(name, mustBe, `Set ${name}: ${option.sentence}`)
    read.url(name, value, sources)
    return raw
  }
  if (option.kind === 'choice') return read.choice(name, value, option.choices ?? [], sources)
  const entries =
    option.kind === 'list' ? read.list(name, value, sources) : [read.text(name, value, sources)]
  const isRight = (entry: string) => option.pattern === undefined || option.pattern.test(entry)
  if (!entries.every(isRight))
    throw read.invalid(name, option.mustBe ?? 'what it says', option.sentence)
  return entries.join(',')
}

function readSecretOption(
  at: string,
  id: string,
  { name, environmentSuffix }: ProviderOption,
  given: unknown,
  sources: Sources,
): Secret | undefined {
  const variable = `${environmentName(id)}_${environmentSuffix}`
  const value = readCredential(at, variable, given, name, sources)
  return value === undefined ? undefined : new Secret(value)
}

function readCallbackPath(at: string, value: unknown, sources: Sources): string {
  const path = read.text(`${at}.callbackPath`, value, sources)
  if (!/^(\/[A-Za-z0-9_-]+)+$/.test(path)) {
    throw read.invalid(`${at}.callbackPath`, 'a path like /auth/callback')
  }
  return path
}

function noCredentials(type: ProviderType, id: string, missing: string, hint: string): ConfigError {
  const base = environmentName(id)
  return new ConfigError(
    'ERR_CONFIG_PROVIDER_CREDENTIALS',
    `provider ${id} has no ${missing}.`,
    `Set ${base}_CLIENT_ID${type.secretRequired ? ` and ${base}_CLIENT_SECRET` : ''}. ${hint}`,
  )
}

/** An id, and with it a callback, names one provider. */
function refuseTwins(providers: readonly Provider[]): void {
  for (const [index, provider] of providers.entries()) {
    const earlier = providers.slice(0, index)
    if (
      earlier.some(
        (other) => other.id === provider.id || other.callbackPath === provider.callbackPath,
      )
    ) {
      throw read.invalid(
        `providers[${index}]`,
        `unlike the others: the id ${provider.id} or its callback path stands twice`,
        `Give providers[${index}] its own id.`,
      )
    }
    // A sign-in finds its provider by the issuer: two clients there would use each other's tokens.
    const twin = earlier.find(({ issuer }) => issuer === provider.issuer)
    if (twin !== undefined) {
      throw read.invalid(
        `providers[${index}]`,
        `the only one of ${provider.issuer}, which ${twin.id} stands for already`,
        `Keep one of ${twin.id} and ${provider.id}.`,
      )
    }
  }
}
