/**
 * Identity consents, opened with the first connector that needs one: a house without loads nothing.
 */
import type { ConnectorConfig } from '../../config.ts'
import type { Egress } from '../../net/egress.ts'
import { type ConnectorDirectory, needsConsent } from '../directory.ts'
import type { IdentityConsents, IdentityConsentsDeps } from './identity-consent.ts'

export interface LateConsents extends Pick<IdentityConsents, 'state' | 'look' | 'close'> {
  describe(connector: ConnectorConfig): Promise<ReturnType<IdentityConsents['describe']>>
}

export function createLateConsents(
  deps: Omit<IdentityConsentsDeps, 'egress'> & {
    egress(): Promise<Egress>
    /** Those that there are are kept warm. Absent: each is asked when somebody wants to know. */
    readonly directory?: Pick<ConnectorDirectory, 'onChange'>
  },
): LateConsents {
  const { config, runtime, directory } = deps
  let opened: IdentityConsents | undefined
  const open = async (): Promise<IdentityConsents> => {
    if (opened !== undefined) return opened
    const { createIdentityConsents } = await import('./identity-consent.ts')
    const egress = await deps.egress()
    opened ??= createIdentityConsents({ ...deps, egress })
    return opened
  }
  const follow = (): void => {
    if (opened === undefined && !config.connectors.some(needsConsent)) return
    runtime.waitUntil(open().then((consents) => consents.follow()))
  }
  if (directory !== undefined) follow()
  const unfollow = directory?.onChange(follow)
  return {
    state: (connector) => opened?.state(connector) ?? 'cold',
    look: async (connector, options) => (await open()).look(connector, options),
    describe: async (connector) => (await open()).describe(connector),
    async close() {
      unfollow?.()
      await opened?.close()
    },
  }
}
