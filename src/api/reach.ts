/**
 * What a restricted key reaches: of app X only what is X's, of some connectors only what is theirs. A
 * foreign thing is as if it were not there; to make one is refused.
 */
import { type ApiCaller, Problem } from './route.ts'

/** Whether this key may see something of this app (`undefined`: of nobody's product) and connector. */
export function reaches(
  caller: ApiCaller,
  thing: { readonly app?: string | undefined; readonly connector?: string | undefined },
): boolean {
  if (caller.app !== undefined && thing.app !== caller.app) return false
  return (
    caller.connectors === undefined ||
    (thing.connector !== undefined && caller.connectors.includes(thing.connector))
  )
}

/**
 * The app that a call is about: what it names, else the key's own.
 *
 * @throws {Problem} 403 for another app than the key's.
 */
export function appOf(caller: ApiCaller, named: string | undefined): string | undefined {
  if (caller.app === undefined || named === undefined || named === caller.app)
    return named ?? caller.app
  throw new Problem(403, 'ERR_API_APP', `The key is for the app ${JSON.stringify(caller.app)}.`, {
    param: 'app',
  })
}

/** @throws {Problem} 403 for a connector that is not the key's. */
export function requireConnector(caller: ApiCaller, connector: string): void {
  if (caller.connectors === undefined || caller.connectors.includes(connector)) return
  throw new Problem(403, 'ERR_API_APP', 'The key is not for this connector.', {
    param: 'connector',
  })
}
