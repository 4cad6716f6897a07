/** The shape of a benchmark and of its last line: figures, what they must be, what we aim for, noise. */

export interface Report {
  readonly figures: Figures
  /** Bars by figure. A figure without one is there to explain the others. */
  readonly must: Bars
  readonly aim: Bars
  /** The same thing twice in the same run: the distance from 1 (or 0) is the noise of the run. */
  readonly control: Figures
}
export type Figures = Readonly<Record<string, number>>
export type Bar = readonly ['<=' | '>=' | '=', number]
export type Bars = Readonly<Record<string, Bar>>

export interface Benchmark {
  readonly id: string
  readonly title: string
  run(): Promise<Report>
}

export interface Line {
  readonly id: string
  readonly figures: Figures
  readonly must: Readonly<Record<string, string>>
  readonly aim: Readonly<Record<string, string>>
  readonly control: Figures
  readonly pass: boolean
}

/** What `--json` prints. `pass` is about the bars of `must` only. */
export function lineOf(id: string, report: Report): Line {
  return {
    id,
    figures: rounded(report.figures),
    must: printed(report.must),
    aim: printed(report.aim),
    control: rounded(report.control),
    pass: holds(report.figures, report.must),
  }
}

/** False as well when a figure that has a bar was not measured. */
export function holds(figures: Figures, bars: Bars): boolean {
  return Object.entries(bars).every(([name, bar]) => meets(figures[name], bar))
}

function meets(figure: number | undefined, [comparison, value]: Bar): boolean {
  if (figure === undefined || Number.isNaN(figure)) return false
  if (comparison === '<=') return figure <= value
  return comparison === '>=' ? figure >= value : figure === value
}

export function table(id: string, title: string, report: Report): string {
  const bar = (set: Bars, name: string): string => (set[name]?.join(' ') ?? '').padEnd(10)
  const lines = Object.entries(report.figures).map(([name, value]) => {
    const must = report.must[name]
    const verdict = must === undefined ? '' : meets(value, must) ? 'ok' : 'MISSED'
    const number = String(round(value)).padStart(10)
    return `  ${name.padEnd(34)} ${number}   must ${bar(report.must, name)} aim ${bar(report.aim, name)} ${verdict}`
  })
  const control = Object.entries(report.control).map(
    ([name, value]) => `  control ${name}: ${round(value)}`,
  )
  return [`${id}  ${title}`, ...lines, ...control].join('\n')
}

function printed(bars: Bars): Record<string, string> {
  return Object.fromEntries(Object.entries(bars).map(([name, bar]) => [name, bar.join(' ')]))
}

function rounded(figures: Figures): Record<string, number> {
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, round(value)]))
}

function round(value: number): number {
  return Number(value.toPrecision(4))
}
