/** `doctor` with servers that nobody here wrote: what works with real clients is in good health. */
import { expect, it } from 'vitest'
import { examine } from '../flow/doctor-house.ts'
import { startDemo, startFastMcp } from './remote-programs.ts'

const TEST_DEADLINE_MS = 600_000

it.for(['fastmcp-2', 'fastmcp-4'] as const)(
  'DSC-01: %s is in good health',
  {
    timeout: TEST_DEADLINE_MS,
  },
  async (version, context) => {
    const { url } = await startFastMcp(context, version)
    const { lines, code } = await examine(url)
    expect(lines[0], lines.join('\n')).toMatch(/^OK /)
    expect(code).toBe(0)
  },
)

it('DSC-05: the demo server of the 1.x package, with its authorization server on another port', {
  timeout: TEST_DEADLINE_MS,
}, async () => {
  const { url, origins } = await startDemo()
  const { lines, code } = await examine(url, { origins })
  expect(lines[0], lines.join('\n')).toMatch(/^OK /)
  expect(code).toBe(0)
})
