/**
 * What people and programs are told about a connector: its state, what was found, and what is wrong on
 * which side (api.md section 3). Never a secret, a client id or a token.
 */
import type { ConnectorConfig } from '../config.ts'
import type { ConnectorProblem, Values } from '../records.ts'
import type { Discovered } from './discovery.ts'

export type ConnectorState = Values['connector']['state'] | 'disabled'

export interface ConnectorStatus {
  readonly name: string
  readonly url: string
  readonly auth: ConnectorConfig['auth']
  readonly state: ConnectorState
  /** Absent until something was found. */
  readonly discovery?: {
    readonly issuer: string
    /** Since the documents were fetched or renewed. */
    readonly ageSeconds: number
    readonly state: Discovered['state']
    readonly source: Discovered['source']
    /** ISO 8601: when this house looked last. */
    readonly checkedAt: string
  }
  readonly problems: readonly ConnectorProblem[]
  /** What an approval has to name. */
  readonly refusedOrigin?: string
}
