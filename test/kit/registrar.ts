/** An authorization server that registers everybody, and what a house asks of it. */
import type { Binding } from '../../src/connectors/binding.ts'
import type { OurClient, Registrations } from '../../src/connectors/registration.ts'
import type { FetchResponse } from '../../src/ports.ts'
import { AS, type ClientWorld, json, type Sent } from './authorization-server.ts'

export const SECRET = 'registered-secret-canary'
export const MANAGEMENT = 'management-token-canary'

type Answers = (sent: Sent) => FetchResponse

/** Its metadata as the connector of this world knows it. */
export function registering(
  world: ClientWorld,
  server: Partial<Binding['server']> = {},
  over: Partial<Binding> = {},
): Binding {
  return world.binding({ registration_endpoint: `${AS}/register`, ...server }, over)
}

/** Registrations that were asked for, in order. */
export function registered(world: ClientWorld): readonly Sent[] {
  return world.sent.filter(({ method, url }) => method === 'POST' && url.endsWith('/register'))
}

/**
 * Registers everybody: `client-1`, `client-2`, ... with a secret where one was asked for.
 *
 * @param lifeSeconds Of the secrets; 0: they never end.
 * @param over Over the members of each answer.
 */
export function registersAll(world: ClientWorld, lifeSeconds = 0, over: object = {}): Answers {
  const answers: Answers = (sent) => {
    const asked = JSON.parse(sent.text)
    const count = registered(world).length
    const hasSecret = String(asked.token_endpoint_auth_method).startsWith('client_secret')
    const expires = lifeSeconds === 0 ? 0 : Math.floor(world.runtime.nowMs() / 1000) + lifeSeconds
    return json(201, {
      ...asked,
      client_id: `client-${count}`,
      ...(hasSecret
        ? { client_secret: `${SECRET}-${count}`, client_secret_expires_at: expires }
        : {}),
      ...over,
    })
  }
  world.answers(answers)
  return answers
}

export async function made(registrations: Registrations, binding: Binding): Promise<OurClient> {
  const result = await registrations.ensure(binding)
  if (!result.ok) throw new Error(result.problem.text)
  return result.client
}
