/**
 * What `doctor` found, as one value, and the same in lines for a terminal: first the verdict with the
 * guilty party, then the steps with their times, then what that party can do (api.md section 5).
 *
 * Texts of strangers were cut and cleaned before they came here (O11); nothing here is a secret.
 */
import type { ConnectorProblem } from '../../records.ts'
import { PARTIES } from '../lifecycle/connector-status.ts'

export interface Fault {
  readonly party: ConnectorProblem['party']
  /** Who is meant; absent for `here`. */
  readonly origin?: string
  readonly code: string
  readonly text: string
  /** Id of spec/requirements.md, and the section of the standard. */
  readonly requirement: string
  /** What the party does about it. */
  readonly fix: string
  /** What can be set in this house meanwhile. */
  readonly here?: string
  /** `blocks`: nobody who keeps to the rules gets in. `limits`: some clients do not. */
  readonly weight: 'blocks' | 'limits'
  /** Nothing answered at all. */
  readonly isSilence?: true
}

export interface Step {
  readonly title: string
  readonly ms: number
  readonly faults: readonly Fault[]
}

export interface Report {
  readonly url: string
  readonly steps: readonly Step[]
  readonly notes: readonly string[]
  /** What a healthy server can be said to be. */
  readonly healthy: string
}

/** Width at which steps that went well stop sharing a line. */
const LABEL_MAX_CHARS = 60
const GAP = '   '

/** The one that the first line names: what keeps everybody out before what keeps some out. */
export function verdictOf({ steps }: Report): Fault | undefined {
  const faults = steps.flatMap((step) => step.faults)
  return faults.find(({ weight }) => weight === 'blocks') ?? faults[0]
}

/** 0 nothing wrong, 1 a fault, 3 somebody who is needed does not answer. */
export function exitCodeOf(report: Report): 0 | 1 | 3 {
  const fault = verdictOf(report)
  if (fault === undefined) return 0
  return fault.isSilence === true && fault.weight === 'blocks' ? 3 : 1
}

export function reportLines(report: Report): readonly string[] {
  const verdict = verdictOf(report)
  const others = report.steps.flatMap(({ faults }) => faults).filter((fault) => fault !== verdict)
  return [
    verdict === undefined
      ? `OK (${report.url}): ${report.healthy}`
      : `FAULT ${whose(verdict)}: ${verdict.text}`,
    ...stepLines(report.steps),
    ...(verdict === undefined ? [] : [fixLine(verdict)]),
    ...others.flatMap((fault) => [`  also ${whose(fault)}: ${fault.text}`, fixLine(fault)]),
    ...report.notes.map((note) => `  note ${note}`),
  ]
}

/** One object for programs. */
export function reportObject(report: Report): object {
  const verdict = verdictOf(report)
  return {
    ok: verdict === undefined,
    url: report.url,
    ...(verdict === undefined
      ? { text: report.healthy }
      : { party: verdict.party, origin: verdict.origin, text: verdict.text }),
    steps: report.steps.map(({ title, ms, faults }, index) => ({
      number: index + 1,
      title,
      ok: faults.length === 0,
      ms,
      requirements: faults.map(({ requirement }) => requirement),
    })),
    faults: report.steps.flatMap(({ faults }) =>
      faults.map(({ isSilence, ...fault }) => ({ ...fault, unreachable: isSilence === true })),
    ),
    notes: report.notes,
  }
}

function whose({ party, origin }: Fault): string {
  return party === 'here' || origin === undefined ? PARTIES[party] : `${PARTIES[party]} (${origin})`
}

function fixLine({ fix, here }: Fault): string {
  return `  fix  ${fix}${here === undefined ? '' : `${GAP}or here: ${here}`}`
}

interface Row {
  label: string
  readonly end: string
  ms?: number
}

/** Steps that went well share a line as long as they fit; a fault has its own. */
function stepLines(steps: readonly Step[]): readonly string[] {
  const rows: Row[] = []
  for (const [index, { title, ms, faults }] of steps.entries()) {
    const label = `${index + 1} ${title}`
    const before = rows.at(-1)
    const joined = `${before?.label ?? ''}, ${label}`
    if (faults.length > 0) {
      const told = [...new Set(faults.map(({ requirement }) => requirement))]
      rows.push({ label, end: ['FAULT', ...told].join(GAP) })
    } else if (before?.ms !== undefined && joined.length <= LABEL_MAX_CHARS) {
      before.label = joined
      before.ms += ms
    } else rows.push({ label, end: 'ok', ms })
  }
  const width = Math.max(...rows.map(({ label }) => label.length), 0)
  return rows.map(({ label, end, ms }) => {
    const time = ms === undefined ? '' : `${GAP}${ms} ms`
    return `  ${label.padEnd(width)}${GAP}${end}${time}`
  })
}
