/** The REST API, loaded by the first request for it: a house that nobody administers never does. */
import type { ApiPlace } from './frame.ts'
import type { ApiHouse } from './route.ts'

export function createLateApi(
  parts: () => Omit<ApiHouse, 'apiKeys'>,
): (request: Request) => Promise<Response> {
  let api: ((request: Request) => Promise<Response>) | undefined
  return async (request) => {
    if (api === undefined) {
      const [{ createApi }, { createApiKeys }] = await Promise.all([
        import('./frame.ts'),
        import('./keys.ts'),
      ])
      const house = parts()
      const base = new URL(house.config.issuer).pathname.replace(/\/$/, '') + house.config.prefix
      const place: ApiPlace = {
        base: `${base}/api/v1`,
        errorsUrl: `${new URL(house.config.issuer).origin}${base}/errors/`,
      }
      api ??= createApi({ ...house, apiKeys: createApiKeys(house) }, place)
    }
    return api(request)
  }
}
