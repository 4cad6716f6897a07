/**
 * The Fetch and Send ports on Workers: the platform's `fetch`, redirects never followed.
 *
 * The platform resolves names itself and does not reach private networks, so what can be checked
 * here is the URL: IP literals, single-label and local names, and hosts of our own zone (whose
 * requests would skip its protections) are refused unless the configuration file names the origin.
 * What remains: a public name that answers with an address inside the platform.
 * @see requirements NET-07
 */
import { UpstreamError } from '../errors.ts'
import { literalAddress } from '../net/address.ts'
import { FetchFailure } from '../net/failure.ts'
import type { Fetch, FetchRequest, Send } from '../ports.ts'

const LOCAL_SUFFIXES = ['.localhost', '.local', '.internal', '.home.arpa']

export interface WorkersFetchOptions {
  /** The zone this Worker runs in, for example `example.com`: it and all names below are refused. */
  readonly zone?: string
  /** Default: the platform's. */
  readonly fetch?: typeof fetch
}

export function createWorkersFetch(options: WorkersFetchOptions = {}): Fetch {
  const platformFetch = options.fetch ?? ((input, init) => fetch(input, init))
  return async (request) => {
    refuseHost(request, options.zone)
    const { method, url, headers, body, signal } = request
    try {
      const answer = await platformFetch(url, { method, headers, body, signal, redirect: 'manual' })
      const decoded = new Headers(answer.headers)
      // The platform has decoded the body already and leaves the names of coding and length behind.
      if (decoded.has('content-encoding')) decoded.delete('content-length')
      decoded.delete('content-encoding')
      return { status: answer.status, headers: decoded, body: answer.body }
    } catch (error) {
      throw error instanceof FetchFailure
        ? error
        : new FetchFailure('ERR_UPSTREAM_CONNECT', 'failed', error)
    }
  }
}

/** One proxied exchange: the server behind answers as it likes, redirects go to the client. */
export function createWorkersSend(options: Pick<WorkersFetchOptions, 'fetch'> = {}): Send {
  const platformFetch = options.fetch ?? ((input, init) => fetch(input, init))
  return async ({ url, method, headers, body, redirect, signal }) => {
    try {
      return await platformFetch(url, {
        method,
        headers,
        body: body as BodyInit | null,
        redirect,
        signal,
      })
    } catch (cause) {
      // The platform does not say whether anything was sent.
      throw new UpstreamError('ERR_UPSTREAM_RESET', {
        operation: 'call',
        origin: new URL(url).origin,
        cause,
      })
    }
  }
}

function refuseHost({ url, addresses }: FetchRequest, zone: string | undefined): void {
  if (addresses === 'approved') return
  const host = url.hostname.endsWith('.') ? url.hostname.slice(0, -1) : url.hostname
  const isLocal = !host.includes('.') || LOCAL_SUFFIXES.some((suffix) => host.endsWith(suffix))
  const isOurs = zone !== undefined && (host === zone || host.endsWith(`.${zone}`))
  if (literalAddress(host) !== undefined || isLocal || isOurs) {
    throw new FetchFailure('ERR_UPSTREAM_ADDRESS', isOurs ? 'own-zone' : 'special-address')
  }
}
