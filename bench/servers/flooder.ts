/**
 * The attacker of D3 and A16, in a process of its own, so that what it does never delays the clock of
 * the good client: bad tokens, plain good calls (the control), or registrations, at a given pace.
 */
import { badTokens } from '../bad-tokens.ts'
import { cycle, mcpRequest, type Target } from '../load.ts'
import { paced } from '../paced.ts'
import { offer } from './channel.ts'

export interface FloodOrder {
  readonly kind: 'bad tokens' | 'good calls' | 'registrations'
  readonly port: number
  readonly path: string
  readonly token: string
  readonly body: string
  readonly perSecond: number
  readonly durationMs: number
  readonly count?: number
}

export interface FloodReport {
  readonly sent: number
  readonly dropped: number
  readonly statuses: readonly (readonly [number, number])[]
}

async function flood(order: FloodOrder): Promise<FloodReport> {
  const { sent, dropped, statuses } = await paced(targetOf(order), order.perSecond, order)
  return { sent, dropped, statuses: [...statuses] }
}

function targetOf({ kind, port, path, token, body }: FloodOrder): Target {
  if (kind === 'bad tokens') return badTokens({ port, path, real: token, body })
  if (kind === 'good calls') return cycle(port, [mcpRequest({ port, path, body, token })])
  let at = 0
  return { port, next: () => registration(port, at++) }
}

/** Names and redirect URIs differ, as those of a real flood would. */
function registration(port: number, number: number): Buffer {
  const body = JSON.stringify({
    client_name: `Client ${number}`,
    redirect_uris: [`http://127.0.0.1:${1_024 + (number % 60_000)}/callback`],
    token_endpoint_auth_method: 'none',
  })
  return mcpRequest({ port, path: '/register', body })
}

offer({}, { flood })
