/**
 * Two groups of tests. `unit` runs in memory or against servers of its own on port 0, on two workers.
 * `real` drives real programs (chromium, workerd, npm, third-party clients), one file at a time,
 * after the first group is done.
 */
import { defineConfig } from 'vitest/config'

const REAL = [
  'test/browser',
  'test/clients',
  'test/conformance-suite',
  'test/engines',
  'test/package',
  'test/workerd',
]

/** Only in `npm run test:long`: minutes, and hundreds of megabytes. */
const LONG = 'test/long'
const real = process.env.POSTERN_TEST_LONG === '1' ? [...REAL, LONG] : REAL

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    coverage: { provider: 'v8', include: ['src/**/*.ts'], exclude: ['**/*.test.ts'] },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{src,demo,test,tools}/**/*.test.ts'],
          exclude: [...REAL, LONG].map((folder) => `${folder}/**`),
          testTimeout: 20_000,
          hookTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'real',
          include: real.map((folder) => `${folder}/**/*.test.ts`),
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
