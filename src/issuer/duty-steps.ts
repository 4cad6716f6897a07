/**
 * What is to be done at providers, as steps of the commit that makes it necessary: a crash between the
 * local end and its consequence upstream loses nothing (REV-08, O15). Done by `duties.ts`.
 *
 * `release`: a grant ended, so its vault record may be unused now. `survey`: a mark ended many grants,
 * so look through all records. `revoke`: these very tokens are to be revoked at their provider.
 */
import type { Runtime, Step } from '../ports.ts'
import type { Grant, Values } from '../records.ts'
import { dueKey } from './ids.ts'

export type Duty = Values['duty']

/** flows.md section 11: at most 7 days of upstream retries. */
export const DUTY_LIFE_MS = 7 * 86_400_000
/** A duty outlives its last try, so that its failure is told before its row is swept. */
const DUTY_ROW_SLACK_MS = 86_400_000

/** The key that puts duties into the order of their time. */
export function dutyKey(runtime: Runtime, dueAtMs: number) {
  return dueKey(runtime, 'dty', dueAtMs)
}

type DutyFacts = Omit<Duty, 'attempts' | 'createdAtMs' | 'dueAtMs' | 'expiresAtMs'>

export function dutyStep(runtime: Runtime, facts: DutyFacts): Step {
  const nowMs = Math.trunc(runtime.nowMs())
  const value: Duty = {
    ...facts,
    attempts: 0,
    createdAtMs: nowMs,
    dueAtMs: nowMs,
    expiresAtMs: nowMs + DUTY_LIFE_MS + DUTY_ROW_SLACK_MS,
  }
  return { verb: 'create', kind: 'duty', key: dutyKey(runtime, nowMs), value }
}

/** None for a grant without a sign-in at a provider behind it. */
export function releaseSteps(
  runtime: Runtime,
  { vaultId, userId }: Pick<Grant, 'vaultId' | 'userId'>,
  cause: string,
): readonly Step[] {
  return vaultId === '' ? [] : [dutyStep(runtime, { purpose: 'release', vaultId, userId, cause })]
}

/**
 * @param only `userId`: records of this person. `provider`: end all connections of this connector.
 *   Neither: all sign-ins that nothing uses any more. `madeByMs`: of connections only those made by then.
 */
export function surveyStep(
  runtime: Runtime,
  cause: string,
  only: { readonly userId?: string; readonly provider?: string; readonly madeByMs?: number } = {},
): Step {
  return dutyStep(runtime, { purpose: 'survey', cause, ...only })
}

type Sealed = Pick<Values['vault'], 'sealed' | 'keyId'>

/** `tokens` as they are sealed in the vault record `vaultId`, or as they were. */
export function revokeStep(
  runtime: Runtime,
  vaultId: string,
  record: Values['vault'],
  cause: string,
  tokens: Sealed = record,
): Step {
  const { userId, provider, issuer, subject, clientId, createdAtMs: madeByMs } = record
  const { sealed, keyId } = tokens
  const facts = { purpose: 'revoke', vaultId, userId, provider, issuer, subject, cause } as const
  const client = clientId === undefined ? {} : { clientId }
  return dutyStep(runtime, { ...facts, ...client, sealed, keyId, madeByMs })
}
