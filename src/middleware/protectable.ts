/**
 * What `mount` and `protect` take in every runtime: a `Postern` of this process, or the address of
 * one elsewhere. One guard per house, however often `protect` is called.
 */
import { type Opening, openingOf, type Postern } from '../app.ts'
import type { Guard } from './guard.ts'
import {
  createRemoteGuard,
  type RemoteHouse,
  type RemotePlatform,
  readRemoteHouse,
} from './remote.ts'
import {
  createResourceDocument,
  type ResourceDocument,
  ROOT_DOCUMENT_PATH,
} from './resource-document.ts'

export type { RemoteHouse, RemotePlatform } from './remote.ts'

/** A `Postern`, or `{ issuer, resource, credential? }` of one in another process. */
export type Protectable = Postern | RemoteHouse
export type Mountable = Protectable

/** Gives the platform of this runtime, for a remote house that names none. */
export type DefaultPlatform = () => RemotePlatform

const REMOTE_GUARDS = new WeakMap<object, Guard>()

/** @throws {ConfigError} for a remote house that cannot be right. */
export function guardOf(house: Protectable, platform?: DefaultPlatform): Guard {
  const opening = openingOf(house)
  if (opening !== undefined) return opening.guard
  const remote = remoteOf(house)
  const known = REMOTE_GUARDS.get(remote)
  if (known !== undefined) return known
  const guard = createRemoteGuard(remote, platformOf(remote, platform))
  REMOTE_GUARDS.set(remote, guard)
  return guard
}

/** What `mount` serves of a house. */
export interface Mounted {
  /** Against what a path is resolved. */
  readonly base: string
  handles(url: string | URL): boolean
  /** Whether what `handles` says of a path outside `/.well-known/` will stay so. */
  settled(): boolean
  fetch(request: Request): Promise<Response>
}

/**
 * Of a `Postern`: all its routes but `/`, `/healthz` and `/readyz`, with the OAuth endpoints below
 * `prefix`. Of a remote house: the RFC 9728 document of its resource. To be called before `ready()`.
 */
export function mountable(house: Mountable, platform?: DefaultPlatform): Mounted {
  const opening = openingOf(house)
  return opening === undefined
    ? mountedDocument(remoteOf(house), platform)
    : mountedHouse(house as Postern, opening)
}

function mountedHouse(
  postern: Postern,
  { config, platform, mounted, opened, tenants }: Opening,
): Mounted {
  mounted()
  const { issuer } = config
  const issuerUrl = new URL(issuer)
  // Documents of the issuer's own host are its own; these are of other hosts of the same process.
  const houses = [config, ...(tenants?.all ?? []).map((tenant) => tenant.config)]
  const elsewhere = houses.flatMap((house) =>
    house.resources
      .filter(({ url }) => houses.every((own) => new URL(url).host !== new URL(own.issuer).host))
      .map(({ url }) => createResourceDocument(url, house.issuer, platform.runtime)),
  )
  const named = ({ pathname, search }: URL): readonly ResourceDocument[] =>
    elsewhere.filter(({ path }) => path === pathname + search || path === pathname)
  const find = (url: URL): ResourceDocument | undefined => {
    const found = named(url)
    // Behind a proxy the host may be another one: then the path alone decides, if it is nobody else's.
    return (
      found.find(({ host }) => host === url.host) ??
      (url.host === issuerUrl.host ? undefined : found[0])
    )
  }
  return {
    base: issuer,
    handles(input) {
      const url = new URL(input, issuer)
      return named(url).length > 0 || postern.handles(url)
    },
    settled: () =>
      opened() !== undefined &&
      (tenants?.all ?? []).every((tenant) => tenant.opened() !== undefined),
    async fetch(request) {
      const document = find(new URL(request.url))
      return document === undefined ? postern.fetch(request) : document.answer(request)
    },
  }
}

function mountedDocument(house: RemoteHouse, platform: DefaultPlatform | undefined): Mounted {
  const { issuer, resource } = readRemoteHouse(house)
  const document = createResourceDocument(resource, issuer, platformOf(house, platform).runtime)
  const base = new URL(resource).origin
  const handles = (input: string | URL): boolean => {
    const { pathname, search } = new URL(input, base)
    return (
      pathname + search === document.path ||
      pathname === document.path ||
      pathname === ROOT_DOCUMENT_PATH
    )
  }
  return {
    base,
    handles,
    settled: () => true,
    async fetch(request) {
      return handles(request.url) ? document.answer(request) : new Response(null, { status: 404 })
    },
  }
}

function remoteOf(house: Protectable): RemoteHouse {
  if ('issuer' in house && 'resource' in house) return house
  throw new TypeError('takes what createPostern() returned, or { issuer, resource, credential? }')
}

function platformOf(house: RemoteHouse, platform: DefaultPlatform | undefined): RemotePlatform {
  const found = house.platform ?? platform?.()
  if (found !== undefined) return found
  throw new TypeError('{ issuer, resource } needs `platform` here: node() or workers(env)')
}
