/**
 * A host program on the official client 2.x. The library checks `iss` of the callback against the
 * issuer it discovered (RFC 9207) before it redeems the code.
 */
import {
  Client,
  type OAuthDiscoveryState,
  StreamableHTTPClientTransport,
  UnauthorizedError,
} from '@modelcontextprotocol/client'
import type { Browser } from 'playwright-core'
import { type Person, playBrowser } from '../kit/browser.ts'
import { MemoryOAuthClient, openCallback } from './oauth-client.ts'
import type { SignedInClient } from './sdk-one.ts'

/** @param era `legacy`: sessions, up to 2025-11-25. `auto`: 2026-07-28 where the server speaks it. */
export async function signInWithSdkTwo(
  serverUrl: string,
  browser: Browser,
  era: 'legacy' | 'auto',
  person?: Person,
): Promise<SignedInClient<Client>> {
  const callback = await openCallback()
  const memory = new MemoryOAuthClient<OAuthDiscoveryState>({
    redirectUrl: callback.redirectUrl,
    name: 'Official client',
  })
  const newClient = () =>
    new Client({ name: 'official', version: '1.0.0' }, { versionNegotiation: { mode: era } })
  try {
    const first = new StreamableHTTPClientTransport(new URL(serverUrl), { authProvider: memory })
    const refused = await newClient()
      .connect(first)
      .catch((error: unknown) => error)
    if (!UnauthorizedError.isInstance(refused))
      throw new Error('expected to be sent to sign in', { cause: refused })
    if (memory.authorizationUrl === undefined)
      throw new Error('the client named no authorization URL')
    const { pages } = await playBrowser(browser, memory.authorizationUrl, person)
    const arrived = await callback.arrived
    if (arrived.searchParams.get('state') !== memory.issuedState)
      throw new Error(`wrong state in ${arrived}`)
    await first.finishAuth(arrived.searchParams)
    const client = newClient()
    await client.connect(
      new StreamableHTTPClientTransport(new URL(serverUrl), { authProvider: memory }),
    )
    return {
      client,
      pages,
      accessToken: () => memory.saved.tokens?.access_token ?? '',
      close: () => client.close(),
    }
  } finally {
    await callback.close()
  }
}
