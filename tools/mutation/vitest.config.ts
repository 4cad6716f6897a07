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
  'protect-remote',
  'races',
  'resource-documents',
  'revocation',
  'ten-mistakes',
]

/** The test beside the mutated module first, then the quick ones: most mutants die at once. */
class NearestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const mutated = (this.ctx.config.related ?? []).map((file) => basename(file, '.ts'))
    const cost = (file: TestSpecification): number => {
      if (mutated.includes(basename(file.moduleId, '.test.ts'))) return -1
      return this.ctx.cache.getTestSpecificationResult(file)?.duration ?? 0
    }
    return files.toSorted((one, other) => cost(one) - cost(other))
  }
}

export default defineConfig({
  test: {
    include: [
      'src/{issuer,oauth,vault}/*.test.ts',
      'src/config/{allow,clients,scopes,signals,token-policies}.test.ts',
      'test/flow/*.test.ts',
      'test/threats/tokens.test.ts',
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
