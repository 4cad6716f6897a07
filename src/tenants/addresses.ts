/**
 * Which house a request is for: by its host, then by the longest issuer path. Nothing else of a request
 * says it, no token, header or parameter (flows.md section 2).
 *
 * A host that is nobody's, and a path that is no tenant's, go to the outer house, which answers them as
 * it does without tenants: 421 and 404, with nothing learned.
 */
import type { Config } from '../config.ts'

/** One house at its address. */
interface Place<T> {
  /** Path of the issuer, or of a server whose document we publish; empty: the whole host. */
  readonly path: string
  readonly house: T
}

interface Host<T> {
  /** Longest path first. */
  readonly places: readonly Place<T>[]
  /** Also of servers that use `protect()`: only their documents are ours. */
  readonly documents: readonly Place<T>[]
}

export interface Addresses<T> {
  /** @param host As in the `Host` header. @param path Without query. */
  find(host: string, path: string): T
}

type Addressed<T> = readonly [config: Pick<Config, 'issuer' | 'resources'>, house: T]

const WELL_KNOWN = '/.well-known/'

/** @param houses The outer one first. */
export function createAddresses<T>(
  houses: readonly [Addressed<T>, ...Addressed<T>[]],
): Addresses<T> {
  const hosts = new Map<string, Host<T>>()
  for (const [{ issuer }] of houses) {
    const { host } = new URL(issuer)
    if (hosts.has(host)) continue
    const made = placesOf(houses, host)
    for (const name of spellings(issuer)) hosts.set(name, made)
  }
  const outer = houses[0][1]
  const outerHost = hosts.get(new URL(houses[0][0].issuer).host)
  return {
    find(host, path) {
      // Another loopback name of the outer host, or nobody's: each house says 421 for itself.
      const { places, documents } =
        hosts.get(host) ?? hosts.get(host.toLowerCase()) ?? outerHost ?? NOWHERE
      const found = path.startsWith(WELL_KNOWN)
        ? findPlace(documents, afterDocument(path))
        : findPlace(places, path)
      return found?.house ?? places.at(-1)?.house ?? outer
    },
  }
}

const NOWHERE = { places: [], documents: [] }

function placesOf<T>(houses: readonly Addressed<T>[], host: string): Host<T> {
  const places = houses
    .filter(([{ issuer }]) => new URL(issuer).host === host)
    .map(([{ issuer }, house]) => ({ path: pathOf(issuer), house }))
  const servers = houses.flatMap(([{ resources }, house]) =>
    resources
      .filter(({ url }) => new URL(url).host === host)
      .map(({ url }) => ({ path: pathOf(url), house })),
  )
  return { places: longestFirst(places), documents: longestFirst([...places, ...servers]) }
}

function longestFirst<T>(places: readonly Place<T>[]): readonly Place<T>[] {
  return [...places].sort((left, right) => right.path.length - left.path.length)
}

function findPlace<T>(places: readonly Place<T>[], path: string): Place<T> | undefined {
  return places.find(
    (place) => place.path === '' || path === place.path || path.startsWith(`${place.path}/`),
  )
}

function pathOf(url: string): string {
  return new URL(url).pathname.replace(/\/$/, '')
}

/** `/.well-known/<document><path>`: the path of what it is about (RFC 8414 section 3, RFC 9728 section 3). */
function afterDocument(path: string): string {
  const slash = path.indexOf('/', WELL_KNOWN.length)
  return slash < 0 ? '/' : path.slice(slash)
}

/** How a client may write the host of an issuer: with the port of its scheme, too. */
function spellings(issuer: string): readonly string[] {
  const { host, port, protocol } = new URL(issuer)
  return port === '' ? [host, `${host}:${protocol === 'https:' ? '443' : '80'}`] : [host]
}
