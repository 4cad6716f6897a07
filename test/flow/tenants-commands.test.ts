/** The commands for operators in the house of one tenant, as processes of their own. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startCli } from '../kit/cli.ts'
import { callTool } from '../kit/plane.ts'
import { startTenants, type TenantHouses } from '../kit/tenants.ts'

let world: TenantHouses
beforeAll(async () => {
  world = await startTenants()
}, 60_000)
afterAll(() => world.close())

const run = (...command: string[]) => {
  const { issuer, databaseUrl, sealingKey } = world.config
  const tenants = { acme: {}, other: {} }
  return startCli(command, { issuer, databaseUrl, sealingKey, tenants, limits: {} })
}
const status = async (house: 'default' | 'acme' | 'other', token: string) =>
  (await callTool(`${world.issuer(house)}/mcp/notes`, token)).status

describe('commands with --tenant', { timeout: 60_000 }, () => {
  it('O5, V2: revoke --tenant ends everything of that tenant and nothing of another', async () => {
    const [outer, acme, other] = await Promise.all([
      world.signIn('default'),
      world.signIn('acme'),
      world.signIn('other'),
    ])
    const ended = await run('revoke', '--tenant', 'acme', '--json', '--yes')
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect(JSON.parse(ended.stdout)).toMatchObject({ done: true, kind: 'tenant' })
    await expect.poll(() => status('acme', acme.accessToken), { timeout: 10_000 }).toBe(401)
    expect(await status('other', other.accessToken)).toBe(200)
    expect(await status('default', outer.accessToken)).toBe(200)
    const client = ['revoke', '--tenant', 'acme', '--client', other.clientId, '--yes'] as const
    expect((await run(...client)).code).toBe(0)
    expect(await status('other', other.accessToken)).toBe(200)
    const all = await run('revoke', '--all', '--json', '--yes')
    expect(all.code).toBe(0)
    await expect.poll(() => status('default', outer.accessToken), { timeout: 10_000 }).toBe(401)
    expect(await status('other', other.accessToken)).toBe(200)
  })

  it('I2: keys list shows the keys of that tenant only', async () => {
    const listed = await Promise.all(
      [[], ['--tenant', 'acme'], ['--tenant', 'other']].map(async (flags) => {
        const { code, stdout, stderr } = await run('keys', 'list', '--json', ...flags)
        expect([code, stderr]).toEqual([0, ''])
        return stdout
      }),
    )
    expect(new Set(listed).size).toBe(3)
  })

  it('O5: users offboard --tenant deletes the person of that tenant and leaves the same person elsewhere', async () => {
    const [acme, other] = await Promise.all([world.signIn('acme'), world.signIn('other')])
    const ended = await run(
      'users',
      'offboard',
      'ada',
      '--tenant',
      'other',
      '--json',
      '--yes',
      '--quiet',
    )
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    await expect.poll(() => status('other', other.accessToken), { timeout: 10_000 }).toBe(401)
    expect(await status('acme', acme.accessToken)).toBe(200)
  })

  it('names a tenant that is not there', async () => {
    const ended = await run('keys', 'list', '--tenant', 'nobody')
    expect(ended.code).toBe(2)
    expect(ended.stderr).toMatch(/there is no tenant nobody/)
  })
})
