/**
 * What this house has written down about a connector: its state, its client at the authorization
 * server, its connections. Read from the store, never changed.
 */
import type { ConnectorConfig } from '../../config.ts'
import type { Store } from '../../ports.ts'
import { TENANT, type Values } from '../../records.ts'
import { shown } from '../discovery/discovery-problems.ts'
import type { Chart } from './chart.ts'

export interface Standing {
  readonly row?: Values['connector']
  readonly registrations: readonly Values['registration'][]
  readonly connections: { readonly active: number; readonly ended: number; readonly more: boolean }
}

const PAGE_ROWS = 500
const REGISTRATIONS_MAX = 16
/** Connections that are counted; above it "or more". */
const COUNTED_MAX = 20_000

/** @throws {StoreError} */
export async function readStanding(store: Store, name: string): Promise<Standing> {
  const row = (await store.get('connector', { tenant: TENANT, id: name }))?.value
  const index = { name: 'name', value: name }
  const registered = await store.list('registration', TENANT, index, { max: REGISTRATIONS_MAX })
  return {
    ...(row === undefined ? {} : { row }),
    registrations: registered.map(({ value }) => value),
    connections: await countConnections(store, name),
  }
}

async function countConnections(store: Store, name: string): Promise<Standing['connections']> {
  const counts = { active: 0, ended: 0 }
  let after: string | undefined
  while (counts.active + counts.ended < COUNTED_MAX) {
    const page: { max: number; after?: string } = { max: PAGE_ROWS }
    if (after !== undefined) page.after = after
    const rows = await store.list('connection', TENANT, { name: 'name', value: name }, page)
    for (const { value } of rows) counts[value.state] += 1
    if (rows.length < PAGE_ROWS) return { ...counts, more: false }
    after = rows.at(-1)?.key.id
  }
  return { ...counts, more: true }
}

export function tellStanding(
  chart: Chart,
  { name, enabled, auth, url }: ConnectorConfig,
  standing: Standing | undefined,
): Promise<void> {
  return chart.step(`connector ${name} here`, 'here', async () => {
    if (!enabled) disabled(chart, name)
    if (auth !== 'oauth' && auth !== 'client_credentials') return
    const row = standing?.row
    if (row === undefined)
      return chart.note('this house has not looked at it yet, or its store cannot be read')
    if (row.url !== url.href)
      return chart.note(`what is written down is of ${shown(row.url)}, and counts for nothing`)
    if (row.state === 'quarantined') quarantined(chart, name, row)
    tellNumbers(chart, standing)
  })
}

function disabled(chart: Chart, name: string): void {
  chart.found({
    party: 'here',
    code: 'ERR_CONNECTOR_UNREACHABLE',
    text: `connector ${name} is switched off`,
    requirement: 'api.md section 1',
    fix: `connectors.${name}.enabled = true`,
    weight: 'blocks',
  })
}

function quarantined(chart: Chart, name: string, row: Values['connector']): void {
  const { refusedOrigin = '', refusedIssuer } = row
  const what = refusedIssuer === undefined ? `the origin ${refusedOrigin}` : refusedIssuer
  chart.found({
    party: 'here',
    code: 'ERR_CONNECTOR_ORIGIN',
    text: `connector ${name} is quarantined: nobody has approved ${shown(what)}`,
    requirement: 'O3, O4, DSC-20',
    fix: `postern connectors approve ${name} ${shown(refusedOrigin)}, if it was meant`,
    weight: 'blocks',
  })
}

function tellNumbers(chart: Chart, standing: Standing | undefined): void {
  if (standing === undefined) return
  const { row, registrations, connections } = standing
  const { active, ended, more } = connections
  chart.note(`connections here: ${active} active, ${ended} ended${more ? ', or more' : ''}`)
  const issuer = row?.issuer
  const own = registrations.find((registration) => registration.issuer === issuer)
  if (own !== undefined)
    chart.note(`this house is its client ${shown(own.clientId)} (${own.authMethod})`)
  if (row?.era !== undefined) chart.note(`it speaks the ${row.era} protocol (DSC-21)`)
}
