/**
 * The tests that judge mutants: those beside the source and the flows that run in memory.
 *
 * Left out: what starts processes or real servers, or advances through hours of fake time, where it
 * only repeats what a quicker test shows.
 */
import { basename } from 'node:path'
import { configDefaults, defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const LEFT_OUT = [
  'demo',
  'development-sign-in',
  'gateway',
  'gateway-sessions',
  'hosted-clients',
  'hot-path',
  'kill',
  'marks',
  'operator-commands',
  'outage',
  'outage-around',
  'outage-start',
  'plane-scopes',
  'protect',
  'protect-process',
  'races',
  'resource-documents',
  'revocation',
  'ten-mistakes',
]

/** What the tests of one mutant may take, by their time without it: the slowest flows fall out. */
const MUTANT_BUDGET_MS = 20_000

/**
 * The test beside the mutated module first, then what is told word for word, then the quick ones: most
 * mutants die at once. What no test within the budget notices counts as unnoticed.
 */
class NearestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const mutated = (this.ctx.config.related ?? []).map((file) => basename(file, '.ts'))
    const took = (file: TestSpecification): number =>
      this.ctx.cache.getTestSpecificationResult(file)?.duration ?? 0
    const rank = (file: TestSpecification): number => {
      const name = basename(file.moduleId, '.test.ts')
      if (mutated.includes(name)) return -2
      return name.startsWith('told-') ? -1 : took(file)
    }
    const sorted = files.toSorted((one, other) => rank(one) - rank(other))
    const provided: { readonly mode?: unknown } = this.ctx.getRootProject().getProvidedContext()
    if (provided.mode !== 'mutant') return sorted
    let sumMs = 0
    return sorted.filter((file) => {
      sumMs += took(file)
      return sumMs <= MUTANT_BUDGET_MS || rank(file) < 0
    })
  }
}

export default defineConfig({
  test: {
    include: [
      'src/{issuer,oauth,vault}/*.test.ts',
      'src/config/{allow,clients,scopes,signals,token-policies}.test.ts',
      'test/flow/*.test.ts',
      'src/providers/{github-memberships,oidc,openid-metadata}.test.ts',
      'test/families/{authorization,pages,registration,signals,token}.test.ts',
      'test/threats/{audit,tokens}.test.ts',
      'test/contract/github-refresh.test.ts',
    ],
    exclude: [...configDefaults.exclude, ...LEFT_OUT.map((name) => `test/flow/${name}.test.ts`)],
    // A port that was taken meanwhile neither ends the run nor counts as noticed.
    retry: 1,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    sequence: { sequencer: NearestFirst },
  },
})
