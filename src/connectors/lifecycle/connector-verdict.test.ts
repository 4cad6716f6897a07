import { describe, expect, it } from 'vitest'
import { connectorInput, documents } from '../../../test/kit/outbound.ts'
import type { ConnectorProblem } from '../../records.ts'
import type { Discovered, DiscoveryResult } from '../discovery/discovery.ts'
import { bind } from './binding.ts'
import type { ConnectorRow } from './connector-rows.ts'
import { changesBetween, isAccepted, judge, type Look } from './connector-verdict.ts'

const EVIL = 'https://evil.example'
const T0 = 1_000_000_000

const found = (
  members: Readonly<Record<string, unknown>> = {},
  part: Partial<Discovered> = {},
): DiscoveryResult => ({ ok: true, discovered: documents(members, part) })

const look = (result: DiscoveryResult, part: Partial<Look> = {}): Look => ({
  connector: connectorInput(),
  definition: 'one',
  result,
  nowMs: T0,
  ...part,
})

const problem = (part: Partial<ConnectorProblem> = {}): ConnectorProblem => ({
  party: 'server',
  code: 'ERR_DISCOVERY_ABSENT',
  text: 'nothing is published',
  requirement: 'DSC-01',
  ...part,
})

const DOWN: DiscoveryResult = { ok: false, state: 'unreachable', problem: problem() }
const names = (before: ConnectorRow | undefined, after: ConnectorRow) =>
  changesBetween(before, after).map(({ event }) => event)

describe('the first look', () => {
  it('accepts what was found and says so', () => {
    const row = judge(undefined, look(found()))
    expect(row).toMatchObject({
      state: 'ready',
      issuer: 'https://auth.notes.example',
      tokenOrigin: 'https://auth.notes.example',
      problems: [],
    })
    expect(names(undefined, row)).toEqual(['connector.created', 'connector.discovered'])
  })

  it('keeps apart a server that says nothing and one that says something wrong', () => {
    expect(judge(undefined, look(DOWN)).state).toBe('unreachable')
    const refused: DiscoveryResult = { ok: false, state: 'refused', problem: problem() }
    const row = judge(undefined, look(refused))
    expect(row).toMatchObject({ state: 'degraded', problems: [{ party: 'server' }] })
    expect(row.issuer).toBeUndefined()
    expect(names(undefined, row)).toEqual(['connector.created', 'connector.degraded'])
  })

  it('DSC-10: remembers that an issuer was found by old rules, until newer ones find it', () => {
    const old = judge(undefined, look(found({}, { source: 'legacy-metadata' })))
    expect(old.legacy).toBe(true)
    expect(judge(old, look(DOWN)).legacy).toBe(true)
    expect(judge(old, look(found(), { nowMs: T0 + 1 }))).not.toHaveProperty('legacy')
  })

  it('DSC-21: remembers how the server answers, and learns another way in place', () => {
    const old = judge(undefined, look(found({}, { era: 'legacy' })))
    expect(old.era).toBe('legacy')
    expect(judge(old, look(found({}, { era: 'modern' }))).era).toBe('modern')
    expect(judge(old, look(found())).era).toBe('legacy')
  })
})

describe('what comes later', () => {
  const ready = judge(undefined, look(found()))
  const moved = found({ token_endpoint: `${EVIL}/token` })

  it('O4: keeps the old pin in quarantine, and tells of it once', () => {
    const row = judge(ready, look(moved, { nowMs: T0 + 10 }))
    expect(row).toMatchObject({
      state: 'quarantined',
      refusedOrigin: EVIL,
      tokenOrigin: 'https://auth.notes.example',
    })
    expect(names(ready, row)).toEqual(['connector.quarantined'])
    expect(names(row, judge(row, look(moved, { nowMs: T0 + 20 })))).toEqual([])
  })

  it('O4: a quarantine is not ended by older documents, by silence, or by another node', () => {
    const row = judge(ready, look(moved, { nowMs: T0 + 10_000 }))
    const older = found({}, { ageSeconds: 60 })
    expect(judge(row, look(older, { nowMs: T0 + 20_000 }))).toEqual(row)
    expect(judge(row, look(DOWN, { nowMs: T0 + 20_000 }))).toEqual(row)
    const newer = judge(row, look(found(), { nowMs: T0 + 20_000 }))
    expect(newer.state).toBe('ready')
    expect(newer).not.toHaveProperty('refusedOrigin')
    expect(names(row, newer)).toEqual(['connector.recovered'])
  })

  it('never binds what it has quarantined', () => {
    const row = judge(ready, look(moved))
    const bound = bind(connectorInput(), documents(), row)
    expect(bound.ok && isAccepted(row, bound.binding)).toBe(false)
    expect(bound.ok && isAccepted(ready, bound.binding)).toBe(true)
    expect(bound.ok && isAccepted(undefined, bound.binding)).toBe(false)
  })

  it('is degraded while the last good documents are served because a renewal failed', () => {
    const failing = found({}, { state: 'stale', ageSeconds: 4000, problem: problem() })
    const row = judge(ready, look(failing))
    expect(row).toMatchObject({ state: 'degraded', problems: [{ code: 'ERR_DISCOVERY_ABSENT' }] })
    expect(names(ready, row)).toEqual(['connector.degraded'])
    // Another node whose documents are older has not seen it: its memory is no recovery.
    const nowMs = T0 + 1000
    expect(judge(row, look(found({}, { ageSeconds: 4000 }), { nowMs }))).toEqual(row)
    expect(names(row, judge(row, look(found(), { nowMs })))).toEqual(['connector.recovered'])
  })

  it('is degraded while it refuses us as a client, and ready when it does not, by the same documents', () => {
    const registration = problem({
      party: 'authorization-server',
      code: 'ERR_CONNECTOR_REGISTRATION',
    })
    const row = judge(ready, look(found(), { registration }))
    expect(row).toMatchObject({ state: 'degraded', problems: [registration] })
    const later = look(found({}, { ageSeconds: 60 }), { nowMs: T0 + 1000 })
    expect(judge(row, later).state).toBe('ready')
  })

  it('O5: another definition starts anew, and what was accepted for the old one counts for nothing', () => {
    const approvedBefore = { ...ready, approvedOrigins: [EVIL] }
    const redefined = look(moved, { definition: 'two' })
    const row = judge(approvedBefore, redefined)
    expect(row).toMatchObject({ state: 'quarantined', approvedOrigins: [] })
    expect(row.issuer).toBeUndefined()
    const again = judge(ready, look(found(), { definition: 'two' }))
    expect(names(ready, again)).toEqual(['connector.created', 'connector.discovered'])
  })

  it('tells of a second origin when the first was approved', () => {
    const both = found({ token_endpoint: `${EVIL}/t`, revocation_endpoint: 'https://b.example/r' })
    const first = judge(ready, look(both))
    const { refusedOrigin: _, ...rest } = first
    const second = judge({ ...rest, approvedOrigins: [EVIL] }, look(both))
    expect(second).toMatchObject({ state: 'quarantined', refusedOrigin: 'https://b.example' })
    expect(names(first, second)).toEqual(['connector.quarantined'])
  })
})
