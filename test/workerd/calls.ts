/** Arguments and results of a port as text; what JSON has no word for is kept. */
const TAG = '$word'

export function encode(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    part === undefined || (typeof part === 'number' && !Number.isFinite(part))
      ? { [TAG]: String(part) }
      : part,
  )
}

export function decode(text: string): unknown {
  return JSON.parse(text, (_, part: unknown) => {
    if (typeof part !== 'object' || part === null || !(TAG in part)) return part
    return part[TAG] === 'undefined' ? undefined : Number(part[TAG])
  })
}
