/**
 * Plugin of the mutation testing packages: a "checker" that lets only the drawn mutants through.
 * The packages choose mutants by range of source, and a range holds smaller mutants as well.
 */
import { readFileSync } from 'node:fs'

create.inject = ['options']
function create({ postern: { sampleFile } }) {
  const drawn = new Set(JSON.parse(readFileSync(sampleFile, 'utf8')))
  const check = ({ fileName, location: { start, end }, replacement }) => {
    const place = [start.line, start.column, end.line, end.column]
    const passes = drawn.has(JSON.stringify([fileName, ...place, replacement]))
    return passes ? { status: 'passed' } : { status: 'compileError', reason: 'not drawn' }
  }
  return {
    async init() {},
    async check(mutants) {
      return Object.fromEntries(mutants.map((mutant) => [mutant.id, check(mutant)]))
    },
    async group(mutants) {
      return [mutants.map(({ id }) => id)]
    },
  }
}

export const strykerPlugins = [{ kind: 'Checker', name: 'only-sample', factory: create }]
