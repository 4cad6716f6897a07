/** The shape of a benchmark and of its last line: figures, what they must be, what we aim for, noise. */

export interface Report {
  readonly id: string
  readonly figures: Readonly<Record<string, number>>
  /** Bars by figure: `[comparison, value]`. */
  readonly must: Readonly<Record<string, Bar>>
  readonly aim: Readonly<Record<string, Bar>>
  /** The same server twice in the same run: its distance from 1 is the noise. */
  readonly control: Readonly<Record<string, number>>
}
export type Bar = readonly ['<=' | '>=' | '=', number]

export interface Benchmark {
  readonly id: string
  readonly title: string
  run(): Promise<Report>
}

export function holds(figures: Report['figures'], bars: Report['must']): boolean {
  return Object.entries(bars).every(([name, [comparison, value]]) => {
    const figure = figures[name]
    if (figure === undefined || Number.isNaN(figure)) return false
    if (comparison === '<=') return figure <= value
    return comparison === '>=' ? figure >= value : figure === value
  })
}

export function printed(report: Report): string {
  const bars = (set: Report['must']) =>
    Object.fromEntries(Object.entries(set).map(([name, bar]) => [name, bar.join(' ')]))
  return JSON.stringify({
    id: report.id,
    figures: rounded(report.figures),
    must: bars(report.must),
    aim: bars(report.aim),
    control: rounded(report.control),
    pass: holds(report.figures, report.must),
  })
}

function rounded(figures: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, Number(value.toPrecision(4))]))
}

export function table(report: Report): string {
  const lines = Object.entries(report.figures).map(([name, value]) => {
    const must = report.must[name]
    const aim = report.aim[name]
    const verdict = must === undefined ? '' : holds({ [name]: value }, { [name]: must }) ? 'ok' : 'MISSED'
    return `  ${name.padEnd(34)} ${String(Number(value.toPrecision(4))).padStart(12)}   must ${(must?.join(' ') ?? '-').padEnd(10)} aim ${(aim?.join(' ') ?? '-').padEnd(10)} ${verdict}`
  })
  const control = Object.entries(report.control).map(
    ([name, value]) => `  control ${name}: ${Number(value.toPrecision(4))}`,
  )
  return [report.id, ...lines, ...control].join('\n')
}
