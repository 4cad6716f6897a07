/**
 * Reads `signals`: who may post shared signals (RFC 8935) to `/events/<receiver>`, about whom, signed by
 * which keys. Served only with `enable: ['shared-signals']`.
 */
import { ConfigError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import type { Sources } from './values.ts'
import * as read from './values.ts'

/** One sender, by the name in its address `[a-z0-9-]{1,40}`. */
export interface SignalReceiverInput {
  /** `iss` of its events, to the letter. */
  readonly issuer: string
  /** `aud` of its events: what the sender was told that we are. */
  readonly audience: string
  /** Its key set. Default: from the issuer's discovery document. */
  readonly jwksUri?: string
  /** Id of the sign-in provider whose people it speaks about. Default: people of `issuer`. */
  readonly provider?: string
  /** What it sends as a Bearer token, 32 characters or more. Default: the signature is enough. */
  readonly credential?: string
}

export interface SignalReceiver {
  readonly name: string
  readonly issuer: string
  readonly audience: string
  readonly jwksUri?: string
  readonly provider?: string
  readonly credential?: Secret
}

const FIELDS = ['issuer', 'audience', 'jwksUri', 'provider', 'credential']
const RECEIVERS_MAX = 100
const CREDENTIAL_CHARS_MIN = 32

/** @throws {ConfigError} for a name, URL or provider that cannot be right. */
export function readSignals(
  value: unknown,
  house: { readonly providers: readonly { readonly id: string }[] },
  sources: Sources,
): readonly SignalReceiver[] {
  const entries = Object.entries(read.record('signals', value))
  if (entries.length > RECEIVERS_MAX)
    throw read.invalid('signals', `an object with at most ${RECEIVERS_MAX} receivers`)
  return entries.map(([name, entry]) => readReceiver(name, entry, house, sources))
}

function readReceiver(
  name: string,
  entry: unknown,
  house: { readonly providers: readonly { readonly id: string }[] },
  sources: Sources,
): SignalReceiver {
  const at = `signals.${name}`
  if (!/^[a-z0-9-]{1,40}$/.test(name))
    throw read.invalid(at, 'a name of 1 to 40 lower-case letters, digits and hyphens')
  const input = read.record(at, entry)
  read.refuseUnknown(at, input, FIELDS)
  const optional = (field: string): string | undefined =>
    input[field] === undefined ? undefined : read.text(`${at}.${field}`, input[field], sources)
  const issuer = read.text(`${at}.issuer`, input['issuer'], sources)
  const audience = read.text(`${at}.audience`, input['audience'], sources)
  const jwksUri = optional('jwksUri')
  const provider = optional('provider')
  read.url(jwksUri === undefined ? `${at}.issuer` : `${at}.jwksUri`, jwksUri ?? issuer, sources)
  if (provider !== undefined && !house.providers.some(({ id }) => id === provider)) {
    throw new ConfigError(
      'ERR_CONFIG_VALUE',
      `${at}.provider names ${provider}, which is not a provider here.`,
      `Use the id of an entry of providers.`,
    )
  }
  const credential =
    input['credential'] === undefined
      ? undefined
      : read.secret(`${at}.credential`, input['credential'], sources)
  if (credential !== undefined && credential.reveal().length < CREDENTIAL_CHARS_MIN)
    throw read.invalid(`${at}.credential`, `at least ${CREDENTIAL_CHARS_MIN} characters`)
  return {
    name,
    issuer,
    audience,
    ...(jwksUri === undefined ? {} : { jwksUri }),
    ...(provider === undefined ? {} : { provider }),
    ...(credential === undefined ? {} : { credential }),
  }
}
