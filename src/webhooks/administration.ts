/**
 * Webhooks as an operator sees them: list, make, remove, test. By the API and by the command; those of the
 * configuration file are shown and tested, and changed there.
 */
import { isOrigin } from '../config/approved-origins.ts'
import type { Config } from '../config.ts'
import { auditStep } from '../issuer/audit.ts'
import { createId, key } from '../issuer/ids.ts'
import type { Egress } from '../net/egress.ts'
import { judgeUrl } from '../net/policy.ts'
import type { Emit, Runtime, Step, Store } from '../ports.ts'
import { TENANT } from '../records.ts'
import { webhookOwner } from '../vault/reseal.ts'
import type { Sealing } from '../vault/sealing.ts'
import { type Endpoint, type Endpoints, WEBHOOKS_MAX } from './endpoints.ts'
import { makeSecret } from './signature.ts'

export interface WebhookAdministration {
  /** By id; read anew, so that what another node has done is seen. */
  list(): Promise<readonly Endpoint[]>
  find(id: string): Promise<Endpoint | undefined>
  /** The secret is told here and never again. */
  create(
    input: { readonly url: string; readonly events: readonly string[] },
    actor?: string,
  ): Promise<
    | { readonly outcome: 'made'; readonly webhook: Endpoint; readonly secret: string }
    | { readonly outcome: 'url' }
    | { readonly outcome: 'full' }
  >
  remove(id: string, actor?: string): Promise<'removed' | 'unknown' | 'in_file'>
  /** One try, now. A disabled one that answers 2xx is active again. */
  test(
    id: string,
    actor?: string,
  ): Promise<
    | {
        readonly outcome: 'delivered' | 'failed'
        readonly reason?: string
        readonly status?: number
      }
    | undefined
  >
}

export interface WebhookAdministrationDeps {
  readonly config: Config
  readonly store: Store
  readonly runtime: Runtime
  readonly emit: Emit
  readonly sealing: Sealing
  readonly endpoints: Endpoints
  /** Opened when a test needs it. */
  egress(): Promise<Egress>
  /** Other nodes learn of it in their next round. */
  changed?(): void
}

export function createWebhookAdministration(
  deps: WebhookAdministrationDeps,
): WebhookAdministration {
  const { store, endpoints } = deps
  return {
    async list() {
      await endpoints.load()
      return [...endpoints.list()].sort((left, right) => (left.id < right.id ? -1 : 1))
    },
    find: (id) => endpoints.refresh(id),
    create: (input, actor) => create(deps, input, actor),
    async remove(id, actor) {
      const endpoint = await endpoints.refresh(id)
      if (endpoint === undefined) return 'unknown'
      if (endpoint.isInFile) return 'in_file'
      const step: Step = { verb: 'remove', kind: 'webhook', key: key(id) }
      const { won } = await store.commit([step, audit(deps, 'webhook.removed', id, actor)])
      await endpoints.refresh(id)
      deps.changed?.()
      return won ? 'removed' : 'unknown'
    },
    test: (id, actor) => test(deps, id, actor),
  }
}

async function create(
  deps: WebhookAdministrationDeps,
  { url, events }: { readonly url: string; readonly events: readonly string[] },
  actor: string | undefined,
): ReturnType<WebhookAdministration['create']> {
  const { config, store, runtime, sealing, endpoints } = deps
  if (!mayBeAsked(config, url)) return { outcome: 'url' }
  if ((await store.count('webhook', TENANT)) >= WEBHOOKS_MAX) return { outcome: 'full' }
  const id = createId(runtime, 'whk')
  const secret = makeSecret(runtime)
  const createdAtMs = Math.trunc(runtime.nowMs())
  const sealed = sealing.seal(secret, webhookOwner(id))
  const value = { url, events, ...sealed, state: 'active', createdAtMs } as const
  await store.commit([
    { verb: 'create', kind: 'webhook', key: key(id), value },
    audit(deps, 'webhook.created', id, actor),
  ])
  const webhook = await endpoints.refresh(id)
  deps.changed?.()
  return webhook === undefined ? { outcome: 'full' } : { outcome: 'made', webhook, secret }
}

/** Public https, whatever the file approves (S1). The address is checked at each connect. */
function mayBeAsked(config: Config, url: string): boolean {
  const { allowHosts, denyHosts } = config.egress
  const verdict = judgeUrl(url, {
    approvedOrigins: new Set(),
    allowHosts: allowHosts.filter((entry) => !isOrigin(entry)),
    denyHosts,
  })
  return verdict.allowed
}

async function test(
  deps: WebhookAdministrationDeps,
  id: string,
  actor: string | undefined,
): ReturnType<WebhookAdministration['test']> {
  const { runtime, endpoints } = deps
  const endpoint = await endpoints.refresh(id)
  if (endpoint === undefined) return undefined
  const { createSender } = await import('./sender.ts')
  const send = createSender({ ...deps, egress: await deps.egress() })
  const createdAtMs = Math.trunc(runtime.nowMs())
  const eventId = createId(runtime, 'evt')
  const sent = await send(endpoint, {
    eventId,
    type: 'webhook.test',
    createdAtMs,
    data: { webhookId: id },
  })
  if (sent.outcome === 'delivered') {
    if (endpoint.state === 'disabled') await enable(deps, id, actor)
    return { outcome: 'delivered', status: sent.status }
  }
  if (sent.outcome === 'held') return { outcome: 'failed', reason: 'breaker' }
  const { reason, status } = sent
  return { outcome: 'failed', reason, ...(status === undefined ? {} : { status }) }
}

async function enable(
  deps: WebhookAdministrationDeps,
  id: string,
  actor: string | undefined,
): Promise<void> {
  const { store, endpoints } = deps
  const row = await store.get('webhook', key(id))
  if (row === undefined) return
  const { cause: _cause, disabledAtMs: _at, ...kept } = row.value
  // Of the configuration file: its row says that it was disabled, and nothing else.
  const step: Step =
    kept.url === undefined
      ? { verb: 'remove', kind: 'webhook', key: row.key }
      : {
          verb: 'put',
          kind: 'webhook',
          key: row.key,
          ifVersion: row.version,
          value: { ...kept, state: 'active' },
        }
  await store.commit([step, audit(deps, 'webhook.enabled', id, actor)])
  await endpoints.refresh(id)
  deps.changed?.()
}

function audit(
  deps: WebhookAdministrationDeps,
  event: 'webhook.created' | 'webhook.removed' | 'webhook.enabled',
  webhookId: string,
  actor: string | undefined,
): Step {
  return auditStep(deps, event, { webhookId, ...(actor === undefined ? {} : { actor }) })
}
