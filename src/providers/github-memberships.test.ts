import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { GitHubDouble } from '../../demo/doubles/github.ts'
import { gitHubHouse, type House } from '../../test/contract/provider-house.ts'
import { MEMBERSHIPS_MAX } from './github-memberships.ts'
import type { Memberships, MembershipsWanted, SignIn } from './provider.ts'

const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' }
const ENGINEERING = 'GET /user/memberships/orgs/engineering'
const NOT_RESTRICTED_BY_LIMIT = { 'x-ratelimit-remaining': '4999' }

describe('memberships at GitHub (PRV-22)', () => {
  let house: House<GitHubDouble>
  let ada: SignIn
  const ask = async (wanted: Partial<MembershipsWanted>, signIn = ada): Promise<Memberships> => {
    const all = { organizations: [], teams: [], ...wanted }
    const answer = await house.provider.memberships?.(house.context, signIn.tokens, all)
    if (answer === undefined) throw new Error('no memberships')
    return answer
  }

  beforeAll(async () => {
    house = await gitHubHouse({
      scopes: ['user:email', 'read:org'],
      teams: { 'engineering/reviewers': ['ada'] },
    })
    ada = await house.signIn('ada')
  })
  afterEach(async () => {
    await house.double.revive()
    house.double.limit(undefined)
    house.double.forget()
  })
  afterAll(() => house.close())

  it('PRV-22: names what the person is in, by one call each', async () => {
    house.double.forget()
    expect(
      await ask({ organizations: ['engineering', 'acme'], teams: ['engineering/reviewers'] }),
    ).toEqual({
      outcome: 'yes',
      organizations: ['engineering'],
      teams: ['engineering/reviewers'],
      unanswered: [],
    })
    expect(house.double.exchanges()).toEqual({
      [ENGINEERING]: 1,
      'GET /user/memberships/orgs/acme': 1,
      'GET /user': 1,
      'GET /orgs/engineering/teams/reviewers/memberships/ada': 1,
    })
  })

  it('PRV-22: no, when each was denied', async () => {
    const grace = await house.signIn('grace')
    expect(await ask({ organizations: ['acme'], teams: ['engineering/reviewers'] }, grace)).toEqual(
      { outcome: 'no', organizations: [], teams: [], unanswered: [] },
    )
  })

  it('PRV-22: no, for somebody who was invited and has not accepted', async () => {
    house.double.answerWith(ENGINEERING, {
      status: 200,
      headers: JSON_TYPE,
      body: '{"state":"pending","role":"member"}',
    })
    expect(await ask({ organizations: ['engineering'] })).toMatchObject({ outcome: 'no' })
  })

  it('PRV-22: unknown without the scope, whose answer is the same 404', async () => {
    const other = await gitHubHouse()
    const signIn = await other.signIn('ada')
    const wanted = { organizations: ['engineering'], teams: [] }
    expect(await other.provider.memberships?.(other.context, signIn.tokens, wanted)).toEqual({
      outcome: 'unknown',
      organizations: [],
      teams: [],
      unanswered: ['engineering'],
      reason: 'scope_missing',
    })
    expect(other.provider.membershipScopes).toEqual(['read:org'])
    await other.close()
  })

  it.each(['primary', 'secondary'] as const)(
    'PRV-07, PRV-22: a %s limit is unknown and ends the look-up',
    async (kind) => {
      house.double.limit({ kind, status: 403 })
      const answer = await ask({ organizations: ['engineering', 'acme', 'maps'] })
      expect(answer).toMatchObject({ outcome: 'unknown', reason: 'rate_limit' })
      expect(answer.retryAfterMs).toBeGreaterThanOrEqual(60_000)
      expect(answer.unanswered).toEqual(['engineering', 'acme', 'maps'])
      expect(house.double.total()).toBe(1)
    },
  )

  it.each([
    [
      'SAML',
      { ...JSON_TYPE, 'x-github-sso': 'required; url=https://github.com/orgs/acme/sso' },
      'sso_required',
    ],
    [
      'an organization that restricts applications',
      { ...JSON_TYPE, ...NOT_RESTRICTED_BY_LIMIT },
      'restricted',
    ],
  ])('PRV-22: unknown for %s', async (_what, headers, reason) => {
    house.double.answerWith(ENGINEERING, { status: 403, headers, body: '{"message":"No."}' })
    expect(await ask({ organizations: ['engineering'] })).toMatchObject({
      outcome: 'unknown',
      reason,
      unanswered: ['engineering'],
    })
  })

  it.each([
    ['a 404 in HTML', { status: 404, headers: { 'content-type': 'text/html' }, body: 'Not Found' }],
    ['another state', { status: 200, headers: JSON_TYPE, body: '{"state":"Active"}' }],
    ['an empty body', { status: 200, headers: JSON_TYPE, body: '' }],
    ['a dead token', { status: 401, headers: JSON_TYPE, body: '{"message":"Bad credentials"}' }],
    ['a failure', { status: 502 }],
  ])('PRV-22: unknown for %s', async (_what, answer) => {
    house.double.answerWith(ENGINEERING, answer)
    expect(await ask({ organizations: ['engineering'] })).toMatchObject({ outcome: 'unknown' })
  })

  it('PRV-22: unknown, when GitHub is dead, for organizations and teams', async () => {
    await house.double.kill()
    expect(
      await ask({ organizations: ['engineering'], teams: ['engineering/reviewers'] }),
    ).toMatchObject({
      outcome: 'unknown',
      unanswered: ['engineering', 'engineering/reviewers'],
      reason: 'ERR_UPSTREAM_CONNECT',
    })
  })

  it('PRV-22: what is certain counts, whatever else was not answered', async () => {
    house.double.answerWith('GET /user/memberships/orgs/acme', { status: 502 })
    expect(await ask({ organizations: ['acme', 'maps'] })).toMatchObject({
      outcome: 'yes',
      organizations: ['maps'],
      unanswered: ['acme'],
    })
  })

  it('PRV-22: names go into one segment of the path, and malformed teams are in nothing', async () => {
    expect(
      await ask({ organizations: ['../../user'], teams: ['engineering', 'a/b/c', '/x'] }),
    ).toMatchObject({ outcome: 'no' })
    expect(house.double.exchanges()).toEqual({
      'GET /user/memberships/orgs/..%2F..%2Fuser': 1,
      'GET /user': 1,
    })
  })

  it('PRV-22: asks a bounded number of times', async () => {
    const organizations = Array.from({ length: MEMBERSHIPS_MAX + 3 }, (_, index) => `org-${index}`)
    const answer = await ask({ organizations })
    expect(house.double.total()).toBe(MEMBERSHIPS_MAX)
    expect(answer).toMatchObject({ outcome: 'unknown', reason: 'too_many' })
    expect(answer.unanswered).toHaveLength(3)
  })
})
