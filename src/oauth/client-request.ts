/**
 * How a client authenticates at an endpoint of an authorization server: one way per request, the
 * secret in one place only (CLI-16). Pure; who sends it is the caller's business.
 * @see RFC 6749 section 2.3.1 and appendix B, RFC 7523 section 2.2, RFC 8414 section 2
 */
import { CLIENT_ASSERTION_TYPE } from './client-assertion.ts'
import type { AuthMethod } from './registration.ts'

export const FORM = 'application/x-www-form-urlencoded'

/** What a client shows of itself. */
export type ClientProof =
  | { readonly method: 'none'; readonly clientId: string }
  | {
      readonly method: 'client_secret_basic' | 'client_secret_post'
      readonly clientId: string
      readonly secret: string
    }
  | { readonly method: 'private_key_jwt'; readonly clientId: string; readonly assertion: string }

export interface FormRequest {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A form that carries its sender's proof. Members that are `undefined` are left out. */
export function clientRequest(
  proof: ClientProof,
  form: Readonly<Record<string, string | undefined>>,
): FormRequest {
  const headers = { 'content-type': FORM }
  const { method, clientId } = proof
  switch (method) {
    case 'client_secret_basic':
      return {
        headers: { ...headers, authorization: basicAuthorization(clientId, proof.secret) },
        body: formBody(form),
      }
    case 'client_secret_post':
      return {
        headers,
        body: formBody({ ...form, client_id: clientId, client_secret: proof.secret }),
      }
    case 'private_key_jwt':
      return {
        headers,
        body: formBody({
          ...form,
          client_id: clientId,
          client_assertion_type: CLIENT_ASSERTION_TYPE,
          client_assertion: proof.assertion,
        }),
      }
    case 'none':
      return { headers, body: formBody({ ...form, client_id: clientId }) }
  }
}

/**
 * The first of `wanted` that the server lists, ways of sending a secret in the server's order; RFC
 * 8414 section 2: one that lists none takes `client_secret_basic`, and a client without a secret as RFC
 * 6749 section 2.1 knows it.
 */
export function chooseAuthMethod<Method extends AuthMethod>(
  listed: readonly string[] | undefined,
  wanted: readonly Method[],
): Method | undefined {
  if (listed === undefined) return wanted[0]
  const first = wanted.find((method) => listed.includes(method))
  if (!sendsSecret(first)) return first
  // Of the two ways to send a secret the one that the server names first. The official Python package
  // names `client_secret_post`, and takes Basic only together with a `client_id` in the form.
  return listed.find((method): method is Method => sendsSecret(method) && isIn(wanted, method))
}

function sendsSecret(method: string | undefined): boolean {
  return method === 'client_secret_basic' || method === 'client_secret_post'
}

function isIn<Method extends string>(methods: readonly Method[], method: string): boolean {
  return methods.some((known) => known === method)
}

/** RFC 6749 section 2.3.1: both parts form-encoded before they are joined (CLI-16). */
export function basicAuthorization(clientId: string, clientSecret: string): string {
  return `Basic ${btoa(`${formEncode(clientId)}:${formEncode(clientSecret)}`)}`
}

function formEncode(value: string): string {
  return new URLSearchParams({ v: value }).toString().slice('v='.length)
}

export function formBody(parameters: Readonly<Record<string, string | undefined>>): string {
  const form = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) form.append(name, value)
  }
  return form.toString()
}
