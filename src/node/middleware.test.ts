import { expect, it } from 'vitest'
import { authorizationOf } from './middleware.ts'

it('PR-12 PR-13: finds the one header in any case, and joins two so that they are refused', () => {
  expect(authorizationOf(['Host', 'a', 'Accept', 'b'])).toBeUndefined()
  expect(authorizationOf(['Host', 'a', 'AUTHORIZATION', 'Bearer x'])).toBe('Bearer x')
  expect(authorizationOf(['authorization', 'Bearer x', 'Authorization', 'Bearer y'])).toBe(
    'Bearer x, Bearer y',
  )
  expect(authorizationOf(['Authorisation', 'x'])).toBeUndefined()
})
