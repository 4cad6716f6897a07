/** The frame of the REST API, through a served house. */
import { describe, expect, it } from 'vitest'
import { openApiHouse } from '../kit/api-house.ts'

describe('GET connections', () => {
  it('lists what the people of an app linked, page by page', async () => {
    const house = await openApiHouse()
    for (const user of ['ada', 'grace', 'linus']) await house.link(user, 3_600_000)
    const first = await house.ask('GET', '/connections?limit=2')
    expect(first.status, first.text).toBe(200)
    expect(first.body).toMatchObject({ data: [{ app: 'default', connector: 'notes' }, {}] })
    const { nextCursor, data } = first.body as { nextCursor: string; data: { user: string }[] }
    const second = await house.ask('GET', `/connections?limit=2&cursor=${nextCursor}`)
    expect(second.body).toMatchObject({ data: [{ connector: 'notes' }] })
    const users = [...data, ...(second.body as { data: { user: string }[] }).data]
    expect(users.map(({ user }) => user).sort()).toEqual(['ada', 'grace', 'linus'])
  })
})
