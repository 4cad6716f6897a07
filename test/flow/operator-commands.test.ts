/**
 * The commands for operators, as processes of their own, on the store of a house.
 * @see api.md section 5
 */
import { describe, expect, it } from 'vitest'
import { startCli } from '../kit/cli.ts'
import { type Node, type Nodes, RESOURCE, startNodes } from '../kit/nodes.ts'

const SEALING_KEY = 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs'

async function house(): Promise<{
  nodes: Nodes
  run(...command: string[]): ReturnType<typeof startCli>
}> {
  const nodes = await startNodes()
  const config = {
    issuer: 'https://auth.example',
    databaseUrl: nodes.config.databaseUrl,
    sealingKey: SEALING_KEY,
    resources: [RESOURCE],
  }
  return { nodes, run: (...command) => startCli(command, config) }
}

/** The file was written by another process: the bus looks, the view polls. */
async function statusAfter(nodes: Nodes, node: Node, accessToken: string): Promise<number> {
  await nodes.elapse(3_000)
  return node.call(accessToken)
}

describe('postern revoke', { timeout: 60_000 }, () => {
  it.each([
    ['--client', undefined],
    ['--connector', RESOURCE],
    ['--user', 'ada@corp.example'],
    ['--all', undefined],
  ])('V2 REV-04: %s: one object, exit 0, felt by the running house', async (flag, value) => {
    const { nodes, run } = await house()
    const { first } = nodes
    // The command reads the machine's clock, the house a fake one: bring them together.
    nodes.runtime.jumpWallMs(Date.now() - nodes.runtime.nowMs())
    const ada = await first.signIn()
    expect(await first.call(ada.access_token)).toBe(200)
    const named = flag === '--client' ? ada.clientId : value
    const words = named === undefined ? [flag] : [flag, named]
    const ended = await run('revoke', ...words, '--json', '--yes')
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    const told = JSON.parse(ended.stdout) as object
    expect(told).toMatchObject({ done: true, pendingUpstream: expect.any(Number) })
    expect(await statusAfter(nodes, first, ada.access_token)).toBe(401)
  })

  it('V2: by time: what was made since, and nothing older', async () => {
    const { nodes, run } = await house()
    const { first } = nodes
    nodes.runtime.jumpWallMs(Date.now() - 2 * 3_600_000 - nodes.runtime.nowMs())
    const older = await first.signIn()
    nodes.runtime.jumpWallMs(Date.now() - nodes.runtime.nowMs())
    await nodes.elapse(1_000)
    const newer = await first.signIn()
    const ended = await run('revoke', '--since', '1h', '--json', '--yes')
    expect([ended.code, ended.stderr]).toEqual([0, '1 ended\n'])
    expect(JSON.parse(ended.stdout)).toMatchObject({ ended: 1 })
    expect(await statusAfter(nodes, first, newer.access_token)).toBe(401)
    expect((await first.refresh(older)).status).toBe(200)
  })

  it('asks first; refuses without --yes where nobody can be asked; says no for what is not there', async () => {
    const { run } = await house()
    const unasked = await run('revoke', '--all')
    expect([unasked.code, unasked.stderr]).toEqual([2, expect.stringContaining('Add --yes.')])
    const nobody = await run('revoke', '--user', 'nobody', '--yes')
    expect([nobody.code, nobody.stdout]).toEqual([1, ''])
    expect((await run('revoke', '--yes')).code).toBe(2)
    expect((await run('revoke', '--all', '--client', 'x', '--yes')).code).toBe(2)
    expect((await run('revoke', '--since', 'yesterday', '--yes')).code).toBe(2)
    const memory = await startCli(['revoke', '--all', '--yes'], {
      issuer: 'http://127.0.0.1:1',
      databaseUrl: 'memory:',
    })
    expect(memory.code).toBe(2)
  })
})

describe('postern users offboard', { timeout: 60_000 }, () => {
  it('deletes by e-mail, prints the proof, and the running house refuses', async () => {
    const { nodes, run } = await house()
    const { first, remote } = nodes
    nodes.runtime.jumpWallMs(Date.now() - nodes.runtime.nowMs())
    const ada = await first.signIn()
    const ended = await run('users', 'offboard', 'ada@corp.example', '--json', '--yes', '--quiet')
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect(JSON.parse(ended.stdout)).toMatchObject({
      userId: ada.userId,
      done: { grants: 'all', identity: true },
      pending: { upstreamRevocations: 1 },
    })
    expect(await statusAfter(nodes, first, ada.access_token)).toBe(401)
    nodes.runtime.jumpWallMs(10_000)
    await nodes.elapse(60_000, 5_000)
    expect(remote.revoked).toEqual(['upstream-refresh-1-of-ada'])
    expect((await run('users', 'offboard', 'ada@corp.example', '--yes')).code).toBe(1)
  })
})

describe('postern keys', { timeout: 60_000 }, () => {
  it('J10 AS-17: list tells kid, state and dates; rotate publishes ahead; an emergency withdraws at once', async () => {
    const { nodes, run } = await house()
    const { first } = nodes
    nodes.runtime.jumpWallMs(Date.now() - nodes.runtime.nowMs())
    const ada = await first.signIn()
    const listed = await run('keys', 'list', '--json')
    const { keys } = JSON.parse(listed.stdout) as { keys: { kid: string; state: string }[] }
    expect(keys).toMatchObject([{ state: 'current', published: expect.stringMatching(/Z$/) }])
    const rotated = await run('keys', 'rotate', '--json')
    expect(rotated.code).toBe(0)
    expect(JSON.parse(rotated.stdout)).toMatchObject({
      withdrawn: [],
      keys: [{ state: 'current' }, { state: 'next', signsFrom: expect.any(String) }],
    })
    expect(await statusAfter(nodes, first, ada.access_token)).toBe(200)
    expect((await run('keys', 'rotate', '--emergency')).code).toBe(2)
    expect((await run('keys', 'rotate', '--emergency', 'no-such-key', '--yes')).code).toBe(1)
    const emergency = await run('keys', 'rotate', '--emergency', '--yes', '--json')
    expect(emergency.code).toBe(0)
    const { withdrawn } = JSON.parse(emergency.stdout) as { withdrawn: string[] }
    expect(withdrawn).toHaveLength(2)
    expect(withdrawn).toContain(keys[0]?.kid)
    expect(await statusAfter(nodes, first, ada.access_token)).toBe(401)
    const text = await run('keys', 'list')
    expect(text.stdout.split('\n')[0]).toContain('STATE')
  })
})
