/**
 * Calls to tenants on Node: each tenant has a carrier of its own, made when its house has opened. Which
 * tenant it is says the host and path of the request; a house that is not open yet is opened first.
 *
 * A tenant's answers under way are counted, open event streams aside, which have a limit of their own.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Opening } from '../app.ts'
import type { House } from '../house.ts'
import { BUSY_ANSWER } from '../tenants/busy.ts'
import type { TenantHouses } from '../tenants/houses.ts'
import type { Carrier } from './carrier.ts'

/** A house and what carries its calls. */
export interface CarriedHouse {
  readonly house: House
  readonly carrier: Carrier
}

export interface TenantCarriers {
  /** True when the request was taken: answered here, or by `then` of the tenant's own house, in time. */
  take(
    request: IncomingMessage,
    response: ServerResponse,
    then: (carried: CarriedHouse) => void,
  ): boolean
  /** @param served Settles when no request is left, of whichever house. */
  drain(deadlineMs: number, served: Promise<unknown>): Promise<void>
}

interface Tenant {
  carried?: CarriedHouse
  stopListening?: () => void
  running: number
}

export function createTenantCarriers(
  tenants: TenantHouses,
  create: (house: House, opening: Opening) => Carrier,
): TenantCarriers {
  const known = new Map<Opening, Tenant>()
  const carry = (opening: Opening, tenant: Tenant, house: House): CarriedHouse => {
    // A house that was closed and opened again has new rooms.
    if (tenant.carried?.house === house) return tenant.carried
    tenant.stopListening?.()
    const carrier = create(house, opening)
    tenant.stopListening = house.onMark(() => carrier.recheck())
    tenant.carried = { house, carrier }
    return tenant.carried
  }
  const isFull = (opening: Opening, { running, carried }: Tenant): boolean =>
    running - (carried?.carrier.openStreams ?? 0) >= opening.config.limits.tenantRequestsMax
  return {
    take(request, response, then) {
      const opening = tenants.find(hostOf(request.rawHeaders), pathOf(request.url))
      if (opening === undefined) return false
      const tenant = known.get(opening) ?? { running: 0 }
      known.set(opening, tenant)
      if (isFull(opening, tenant)) {
        opening.busy?.refuse()
        answerBusy(response)
        return true
      }
      tenant.running += 1
      response.once('close', () => {
        tenant.running -= 1
      })
      const house = opening.opened()
      if (house !== undefined) then(carry(opening, tenant, house))
      else {
        opening.open().then(
          (opened) => then(carry(opening, tenant, opened)),
          () => answerBusy(response),
        )
      }
      return true
    },
    async drain(deadlineMs, served) {
      await Promise.all(
        [...known.values()].map(async ({ carried, stopListening }) => {
          await carried?.carrier.drain(deadlineMs, served)
          stopListening?.()
        }),
      )
    },
  }
}

function answerBusy(response: ServerResponse): void {
  const { status, headers, body } = BUSY_ANSWER
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body)
}

function pathOf(target = '/'): string {
  const query = target.indexOf('?')
  return query < 0 ? target : target.slice(0, query)
}

/** As it came, without making Node build its object of all headers. */
function hostOf(rawHeaders: readonly string[]): string {
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length === 4 && name.toLowerCase() === 'host') return rawHeaders[index + 1] ?? ''
  }
  return ''
}
