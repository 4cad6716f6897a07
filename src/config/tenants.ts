/**
 * Reads `tenants`: each is a configuration of its own, parsed by the same parser with what belongs to
 * the house as a whole (listener, database, keys, egress, log, limits) taken from the outer one.
 *
 * Host and path of a request say whose it is (flows.md section 2), so two houses that could both be meant
 * are a start-up error. Of the environment a tenant reads what begins with `POSTERN_TENANT_<NAME>_`.
 */
import type { Config, PosternConfig } from '../config.ts'
import { ConfigError } from '../errors.ts'
import { encodeBase64url } from '../oauth/base64url.ts'
import { canonicalResource } from '../oauth/urls.ts'
import { TENANT } from '../records.ts'
import { environmentName, FIELDS, LIMIT_FIELDS } from './fields.ts'
import { ENDPOINT_SEGMENTS, OUR_SEGMENTS, PEOPLE_SEGMENTS } from './paths.ts'
import type { Sources } from './values.ts'
import * as read from './values.ts'

/** What a tenant has of its own; everything else is said once, outside. */
export type TenantInput = Omit<PosternConfig, HouseField>

type HouseField = (typeof HOUSE_FIELDS)[number]
type Parse = (input: unknown, sources: Sources) => Config

/** Each open tenant costs a few timers and caches of this process. */
export const TENANTS_MAX = 100

const HOUSE_FIELDS = [
  'listen',
  'prefix',
  'databaseUrl',
  'sealingKey',
  'egress',
  'log',
  'onEvent',
  'limits',
  'tenants',
] as const

/** @throws {ConfigError} naming the field below `tenants.<name>`. */
export function readTenants(
  value: unknown,
  outer: Config,
  sources: Sources,
  parse: Parse,
): readonly Config[] {
  const entries = Object.entries(read.record('tenants', value))
  if (entries.length > TENANTS_MAX) throw read.invalid('tenants', `at most ${TENANTS_MAX} tenants`)
  const names = entries.map(([name]) => name)
  const environments = splitEnvironment(names, sources)
  const tenants = entries.map(([name, entry]) =>
    readTenant(
      name,
      entry,
      outer,
      { ...sources, environment: environments.get(name) ?? {} },
      parse,
    ),
  )
  refuseSharedAddresses([outer, ...tenants])
  refuseOwnConnectors([outer, ...tenants])
  refuseSharedResources([outer, ...tenants])
  return tenants.map((tenant) =>
    Object.freeze({ ...tenant, ...neighboursOf(tenant, outer, tenants) }),
  )
}

/** What connectors that the API makes have to keep away from. */
export function neighboursOf(
  house: Config,
  outer: Config,
  tenants: readonly Config[],
): Pick<Config, 'neighbours'> {
  const issuers = [outer, ...tenants].map(({ issuer }) => issuer)
  return { neighbours: issuers.filter((issuer) => issuer !== house.issuer) }
}

function readTenant(
  name: string,
  entry: unknown,
  outer: Config,
  sources: Sources,
  parse: Parse,
): Config {
  const at = `tenants.${name}`
  if (!/^[a-z0-9-]{1,40}$/.test(name) || name === TENANT) {
    const form = 'a name of 1 to 40 lower-case letters, digits and hyphens'
    throw read.invalid(at, `${form}, and not ${TENANT}, which is the house outside of \`tenants\``)
  }
  const input = read.record(at, entry)
  for (const field of HOUSE_FIELDS) {
    if (input[field] === undefined) continue
    throw new ConfigError(
      'ERR_CONFIG_UNKNOWN_FIELD',
      `${at}.${field} is not a field: ${field} is said once, for all tenants.`,
      `Move it out of tenants.${name}.`,
      `${at}.${field}`,
    )
  }
  try {
    const parsed = parse(
      { issuer: `${outer.issuer}/t/${name}`, ...input, ...shared(outer) },
      sources,
    )
    return Object.freeze({ ...parsed, tenant: name })
  } catch (error) {
    throw error instanceof ConfigError ? placed(error, name, Object.keys(input)) : error
  }
}

/** What the outer house has read, written down again for the same parser. */
function shared({ listen, prefix, databaseUrl, sealingKeys, egress, log, limits }: Config) {
  return {
    ...{ listen, prefix, databaseUrl, egress, log, limits },
    ...(sealingKeys.length === 0
      ? {}
      : { sealingKey: sealingKeys.map((key) => encodeBase64url(key)).join(',') }),
  }
}

/** The parser knows nothing of tenants: its words get the place at which they are true. */
function placed(error: ConfigError, name: string, given: readonly string[]): ConfigError {
  const at = `tenants.${name}`
  const fields = [...new Set([...given, 'allow', 'issuer', 'providers', 'connectors'])]
  // A field stands at the beginning of a text or behind a space, and is no longer word.
  const field = new RegExp(`(^|[ (\`])(${fields.map(escaped).join('|')})(?=[.[]\\w|[ .\`]|$)`, 'g')
  const variable = /\bPOSTERN_(?!TENANT_)/g
  const say = (text: string): string =>
    text.replace(variable, `${environmentName(`tenant-${name}`)}_`)
  const known = field.test(error.problem)
  field.lastIndex = 0
  const problem = say(error.problem.replace(field, `$1${at}.$2`))
  return new ConfigError(
    // A code of the parser's own.
    error.code as ConstructorParameters<typeof ConfigError>[0],
    known || problem !== error.problem ? problem : `${at}: ${problem}`,
    say(error.fix.replace(field, `$1${at}.$2`)),
    error.field === undefined ? at : `${at}.${error.field}`,
  )
}

function escaped(text: string): string {
  return text.replace(/[^A-Za-z0-9_-]/g, '\\$&')
}

/** Each tenant's part, named as the parser reads it. `env:` references may be to anything else. */
function splitEnvironment(
  names: readonly string[],
  { environment }: Sources,
): ReadonlyMap<string, Readonly<Record<string, string | undefined>>> {
  // `a-b` before `a`: what begins with the longer name belongs to it.
  const prefixes = names
    .map((name) => ({ name, prefix: `${environmentName(`tenant-${name}`)}_` }))
    .sort((left, right) => right.prefix.length - left.prefix.length)
  const others = Object.entries(environment).filter(([name]) => !name.startsWith('POSTERN_'))
  const parts = new Map(names.map((name) => [name, Object.fromEntries(others)]))
  for (const [variable, value] of Object.entries(environment)) {
    if (!variable.startsWith('POSTERN_TENANT_') || value === undefined) continue
    // A limit of the whole house is named alike: POSTERN_TENANT_REQUESTS_MAX.
    if (LIMIT_FIELDS.some((limit) => limit.environment === variable)) continue
    const owner = prefixes.find(({ prefix }) => variable.startsWith(prefix))
    const part = owner && parts.get(owner.name)
    if (owner === undefined || part === undefined) throw unknownVariable(variable)
    const inner = `POSTERN_${variable.slice(owner.prefix.length)}`
    if (isHouseVariable(inner)) throw unknownVariable(variable)
    part[inner] = value
  }
  return parts
}

function isHouseVariable(name: string): boolean {
  const plain = name.replace(/_FILE$/, '')
  if (plain === 'POSTERN_PORT' || plain === 'POSTERN_HOST') return true
  return [...FIELDS, ...LIMIT_FIELDS].some(
    ({ path, environment }) =>
      environment === plain && HOUSE_FIELDS.some((field) => field === path.split('.')[0]),
  )
}

function unknownVariable(name: string): ConfigError {
  return new ConfigError(
    'ERR_CONFIG_UNKNOWN_FIELD',
    `${name} is not a setting of a tenant.`,
    'Unset it, or see docs/tenants.md for the names.',
  )
}

/** Two houses at one place, or one where routes of another are: nobody could say whose a request is. */
function refuseSharedAddresses(houses: readonly Config[]): void {
  for (const [index, house] of houses.entries()) {
    for (const [otherIndex, other] of houses.entries()) {
      if (index === otherIndex) continue
      const rest = pathBelow(other.issuer, house.issuer)
      if (rest === undefined) continue
      if (rest === '')
        throw read.invalid(
          `${nameOf(houses[Math.max(index, otherIndex)])}.issuer`,
          `another than the issuer of ${nameOf(houses[Math.min(index, otherIndex)])}`,
        )
      const taken = routesOf(house).find((route) => overlapsPath(route, rest))
      if (taken === undefined) continue
      const path = `${taken.startsWith('/') ? taken : `/${taken}`}`
      throw read.invalid(
        other.tenant === undefined ? 'issuer' : `tenants.${other.tenant}.issuer`,
        `outside of ${path}, which ${nameOf(house)} answers at ${house.issuer}`,
      )
    }
  }
}

/** Paths that a house answers below its issuer. */
function routesOf({ prefix, connectors, providers }: Config): readonly string[] {
  return [
    ...OUR_SEGMENTS.map((segment) => `/${segment}`),
    // A mounted house has its endpoints there.
    ...[...PEOPLE_SEGMENTS, ...ENDPOINT_SEGMENTS].map((segment) => `${prefix}/${segment}`),
    ...providers.map(({ callbackPath }) => callbackPath),
    ...connectors.flatMap(({ path, routes }) => [path, ...routes.protected, ...routes.public]),
  ]
}

/** Whether one of the two lies below the other; a route may end in `*`. */
export function overlapsPath(route: string, path: string): boolean {
  const fixed = route.replace(/\*$/, '').replace(/\/$/, '')
  const within = (inner: string, outer: string): boolean => `${inner}/`.startsWith(`${outer}/`)
  return (
    within(path, fixed) || within(fixed, path) || (route.endsWith('*') && path.startsWith(fixed))
  )
}

/** The path of `url` below an issuer: empty for the issuer itself, `undefined` elsewhere. */
export function pathBelow(url: string, issuer: string): string | undefined {
  const [inner, outer] = [new URL(url), new URL(issuer)]
  const base = outer.pathname.replace(/\/$/, '')
  const path = inner.pathname.replace(/\/$/, '')
  if (inner.host !== outer.host || !`${path}/`.startsWith(`${base}/`)) return undefined
  return path.slice(base.length)
}

/** A call of one house that arrives at another would be judged by it: no such circle. */
function refuseOwnConnectors(houses: readonly Config[]): void {
  for (const house of houses) {
    for (const { name, url } of house.connectors) {
      const found = houses.find(({ issuer }) => pathBelow(url.href, issuer) !== undefined)
      if (found === undefined) continue
      const place = house.tenant === undefined ? '' : `tenants.${house.tenant}.`
      throw read.invalid(`${place}connectors.${name}.url`, `another server, not ${found.issuer}`)
    }
  }
}

/** A token names its resource and nothing else: it must belong to one house only. */
function refuseSharedResources(houses: readonly Config[]): void {
  const owners = new Map<string, Config>()
  for (const house of houses) {
    const published = [
      ...house.resources.map(({ url }) => url),
      ...house.connectors.map(({ resource }) => resource),
    ]
    for (const url of published) {
      const resource = canonicalResource(url) ?? url
      const owner = owners.get(resource)
      const foreign = houses.find(
        (other) =>
          other !== house &&
          other.tenant !== undefined &&
          pathBelow(resource, other.issuer) !== undefined &&
          pathBelow(house.issuer, other.issuer) === undefined,
      )
      if ((owner !== undefined && owner !== house) || foreign !== undefined)
        throw read.invalid(
          `${house.tenant === undefined ? '' : `tenants.${house.tenant}.`}resources`,
          `of this house alone; ${resource} belongs to ${nameOf(foreign ?? owner)}`,
        )
      owners.set(resource, house)
    }
  }
}

function nameOf(house: Config | undefined): string {
  return house?.tenant === undefined ? 'the outer house' : `tenants.${house.tenant}`
}
