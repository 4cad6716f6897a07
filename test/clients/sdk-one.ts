/**
 * A host program on the 1.x SDK: connects, is told to sign in, sends the person to the browser,
 * redeems the code and connects again, as the SDK's own guide says.
 */

import {
  type OAuthDiscoveryState,
  UnauthorizedError,
} from '@modelcontextprotocol/sdk/client/auth.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Browser } from 'playwright-core'
import { type Person, playBrowser } from '../kit/browser.ts'
import { MemoryOAuthClient, openCallback } from './oauth-client.ts'

export interface SignedInClient<C> {
  readonly client: C
  readonly accessToken: () => string
  readonly pages: readonly string[]
  close(): Promise<void>
}

export async function signInWithSdkOne(
  serverUrl: string,
  browser: Browser,
  person?: Person,
): Promise<SignedInClient<Client>> {
  const callback = await openCallback()
  const memory = new MemoryOAuthClient<OAuthDiscoveryState>({
    redirectUrl: callback.redirectUrl,
    name: 'Story client',
  })
  try {
    const first = new StreamableHTTPClientTransport(new URL(serverUrl), { authProvider: memory })
    const refused = await newClient()
      .connect(first)
      .catch((error: unknown) => error)
    if (!(refused instanceof UnauthorizedError))
      throw new Error('expected to be sent to sign in', { cause: refused })
    if (memory.authorizationUrl === undefined) throw new Error('the SDK named no authorization URL')
    const { pages } = await playBrowser(browser, memory.authorizationUrl, person)
    const arrived = await callback.arrived
    if (arrived.searchParams.get('state') !== memory.issuedState)
      throw new Error(`wrong state in ${arrived}`)
    await first.finishAuth(arrived.searchParams.get('code') ?? '')
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

function newClient(): Client {
  return new Client({ name: 'story', version: '1.0.0' })
}
