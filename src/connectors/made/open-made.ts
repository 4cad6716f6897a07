/**
 * The connectors made by the API in a house that opens: read before the first request, read again when
 * a node says that they are others, and shown to every room by the configuration it is given.
 */
import type { Config } from '../../config.ts'
import type { EndingHouse } from '../../issuer/endings.ts'
import { CONNECTORS } from '../../issuer/forget.ts'
import type { RevocationView } from '../../issuer/revocation.ts'
import type { Bus, Emit, Runtime, Store } from '../../ports.ts'
import type { Sealing } from '../../vault/sealing.ts'
import { withDirectory } from '../directory.ts'
import { definitionOf } from '../lifecycle/outbound-connector.ts'
import { createMadeConnectors, type MadeConnectors } from './made-connectors.ts'

export interface MadeGround {
  /** Of the file. */
  readonly config: Config
  readonly store: Store
  readonly bus: Bus
  readonly runtime: Runtime
  readonly emit: Emit
  readonly sealing: Sealing
  /** A command has no memory of marks to follow. */
  readonly revocation: EndingHouse['revocation'] & Partial<Pick<RevocationView, 'onMark'>>
}

export interface OpenMade {
  readonly made: MadeConnectors
  /** For every room: its `connectors` are those that there are now. */
  readonly config: Config
  /** Who revokes what ends with a removed connector at its server. Later than the rest. */
  attach(duties: NonNullable<EndingHouse['duties']>): void
}

/** Reads nothing yet: `made.load()`. */
export function openMade(ground: MadeGround): OpenMade {
  const { runtime, emit, revocation, sealing } = ground
  const made = createMadeConnectors({
    config: ground.config,
    house: () => ending,
    sealing,
    definitionOf: (connector) => definitionOf(runtime, connector),
  })
  const config = withDirectory(ground.config, made)
  let ending: EndingHouse = { ...ground, config }
  revocation.onMark?.((mark) => {
    if (mark.kind !== 'cache' || mark.id !== CONNECTORS) return
    const reading = made.load().catch(() => {
      emit.event({ type: 'server.failed', reason: 'connectors' })
    })
    runtime.waitUntil(reading)
  })
  return {
    made,
    config,
    attach(duties) {
      ending = { ...ending, duties }
    },
  }
}
