/**
 * Pushed authorization requests (RFC 9126): checked and kept by `/par`, taken once by `/authorize`.
 * What is kept is the checked request, so that nothing is parsed a second time.
 */
import type { Client } from '../oauth/client.ts'
import { matchRedirectUri } from '../oauth/client.ts'
import type { Parameters } from '../oauth/parameters.ts'
import type { AuthorizationRequest } from '../records.ts'
import type { IssuerHouse } from './house.ts'
import { createSecret, key } from './ids.ts'
import { refusalPage } from './refusals.ts'

export const PUSHED_TTL_SECONDS = 90
const PREFIX = 'urn:ietf:params:oauth:request_uri:'

/** @returns the `request_uri`; only its digest is kept. */
export async function keepPushed(
  { store, runtime }: IssuerHouse,
  request: AuthorizationRequest,
): Promise<string> {
  const requestUri = PREFIX + createSecret(runtime)
  await store.create('pushed', key(runtime.sha256(requestUri)), {
    clientId: request.clientId,
    request,
    expiresAtMs: runtime.nowMs() + PUSHED_TTL_SECONDS * 1000,
  })
  return requestUri
}

/**
 * @returns `undefined` when the request names no pushed one: any other form of `request_uri` is judged
 * with the rest and refused. `unknown`: used before, too old, or of another client (AZ-20).
 */
export async function takePushed(
  { store, runtime, config }: IssuerHouse,
  client: Client,
  parameters: Parameters,
): Promise<AuthorizationRequest | 'unknown' | undefined> {
  const requestUri = parameters.get('request_uri')
  if (requestUri?.startsWith(PREFIX) !== true || !config.enable.includes('pushed-requests'))
    return undefined
  const id = key(runtime.sha256(requestUri))
  const found = await store.get('pushed', id)
  // Checked before it is consumed: another client cannot burn it.
  if (found?.value.clientId !== client.clientId) return 'unknown'
  const taken = await store.consume('pushed', id, createSecret(runtime), runtime.nowMs())
  if (taken === undefined || taken === 'replayed') return 'unknown'
  const { request } = taken
  return matchRedirectUri(client, request.redirectUri).matched ? request : 'unknown'
}

/** A page: without the request there is no redirect URI that could be trusted (AZ-15). */
export function pushedPage(house: IssuerHouse, client: Client, flowId: string): Promise<Response> {
  return refusalPage(
    house,
    {
      side: 'app',
      title: 'This link has been used or is too old',
      text: 'The app prepared a sign-in that works once and for a minute.',
      fix: 'Start again from the app. Nothing was shared.',
      code: 'invalid_request_uri',
    },
    { reason: 'pushed_unknown', flowId, clientId: client.clientId },
  )
}
