/**
 * Webhooks of a house: what it writes and reports with tells the outbox, and behind it the deliveries go
 * out. The sending part is loaded behind the start, or by the first delivery.
 */
import type { Config } from '../config.ts'
import { auditStep } from '../issuer/audit.ts'
import type { Egress } from '../net/egress.ts'
import type { Platform, Store } from '../ports.ts'
import type { Sealing } from '../vault/sealing.ts'
import type { WebhookAdministration } from './administration.ts'
import type { Deliveries } from './deliveries.ts'
import { createEndpoints } from './endpoints.ts'
import { createOutbox } from './outbox.ts'

export interface Webhooks {
  /** What the house writes with. */
  readonly store: Store
  /** The platform, with what the house reports with. */
  readonly platform: Platform
  /** Reads whom to tell. */
  load(): Promise<void>
  /** From here on deliveries go out. */
  begin(ground: { readonly sealing: Sealing; readonly egress: Egress }): void
  /** For a command: webhooks can be listed and tested, and nothing is sent behind. */
  administer(ground: { readonly sealing: Sealing; egress(): Promise<Egress> }): void
  administration(): Promise<WebhookAdministration>
  /** For a platform without timers. */
  runDue(): Promise<void>
  stop(): Promise<void>
}

/** What the mark of kind `cache` is called that says: read the webhooks again. */
export const WEBHOOKS = 'webhooks'
/** After the start has answered somebody. */
const BEGIN_MS = 1_000

export function openWebhooks(config: Config, platform: Platform, plain: Store): Webhooks {
  const { runtime, lock } = platform
  const endpoints = createEndpoints({ config, store: plain, runtime })
  let opening: Promise<Deliveries> | undefined
  let opened: Deliveries | undefined
  let open: (() => Promise<Deliveries>) | undefined
  let administering: (() => Promise<WebhookAdministration>) | undefined
  let cancel = (): void => undefined
  let isStopped = false

  const wake = async (): Promise<void> => {
    if (open === undefined || isStopped) return
    opening ??= open()
    opened = await opening
    if (runtime.sharesPromises && !isStopped) opened.start()
  }
  const outbox = createOutbox({
    store: plain,
    emit: platform.emit,
    runtime,
    endpoints,
    poke(webhookIds) {
      if (opened !== undefined) opened.poke(webhookIds)
      else runtime.waitUntil(wake().then(() => opened?.poke(webhookIds)))
    },
  })
  const { store, emit } = outbox
  const administer: Webhooks['administer'] = (ground) => {
    administering = async () => {
      const { createWebhookAdministration } = await import('./administration.ts')
      return createWebhookAdministration({ config, store, runtime, emit, endpoints, ...ground })
    }
  }
  return {
    store,
    platform: { ...platform, emit },
    load: () => endpoints.load(),
    begin({ sealing, egress }) {
      const deps = { config, store, runtime, emit, sealing, endpoints }
      open = async () => {
        const { createDeliveries } = await import('./deliveries.ts')
        const disabledAudit = (webhookId: string, detail: string) =>
          auditStep({ runtime, config }, 'webhook.disabled', { webhookId, detail })
        return createDeliveries({ ...deps, lock, egress, disabledAudit })
      }
      administer({ sealing, egress: async () => egress })
      if (runtime.sharesPromises) cancel = runtime.after(BEGIN_MS, () => runtime.waitUntil(wake()))
    },
    administer,
    async administration() {
      if (administering === undefined) throw new TypeError('webhooks have not begun')
      return administering()
    },
    async runDue() {
      await outbox.flushed()
      await wake()
      await opened?.run()
    },
    async stop() {
      isStopped = true
      cancel()
      await outbox.flushed()
      await (await opening?.catch(() => undefined))?.stop()
    },
  }
}
