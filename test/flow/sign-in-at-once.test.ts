import { afterEach, describe, expect, it } from 'vitest'
import { type Plane, type ProviderKind, startPlane } from '../kit/plane.ts'

const PROVIDERS: readonly ProviderKind[] = ['github', 'openid']
/** GitHub keeps ten tokens of a person and an app: the eleventh would end the first. */
const SIGN_INS = 10

let plane: Plane | undefined
afterEach(async () => {
  await plane?.close()
  plane = undefined
})

describe.each(PROVIDERS)(
  'one person signs in to %s from several apps at the same moment',
  (provider) => {
    it(`all ${SIGN_INS} arrive, whoever writes first, and every one of them can call`, async () => {
      plane = await startPlane({ provider })
      const house = plane
      const callers = await house.during(
        Promise.all(Array.from({ length: SIGN_INS }, () => house.signIn('ada'))),
      )
      const answers = await Promise.all(callers.map((caller) => house.call(caller)))
      expect(answers.map(({ status }) => status)).toEqual(callers.map(() => 200))
    })
  },
)
