/**
 * Postern in front of a server for the conformance suite: public address at the token shim, sign-in
 * at the GitHub double, chromium as the person.
 */

import type { Browser } from 'playwright-core'
import { startGitHubDouble } from '../../demo/doubles/github.ts'
import { signInWithSdkOne } from '../clients/sdk-one.ts'
import { freePort, servePostern } from '../kit/postern.ts'
import { startTokenShim } from './shim.ts'

export interface House {
  readonly issuer: string
  readonly mcpUrl: string
  /** A client of the 1.x SDK signs in; from then on the shim carries its token. */
  signIn(browser: Browser): Promise<void>
  close(): Promise<void>
}

export async function openHouse(serverUrl: string): Promise<House> {
  const github = await startGitHubDouble()
  github.approveAutomatically(false)
  const port = await freePort()
  const shim = await startTokenShim(port)
  const issuer = `http://127.0.0.1:${shim.port}`
  const closeDoubles = async (): Promise<void> => {
    await shim.close()
    await github.close()
  }
  const postern = await servePostern({
    issuer,
    listen: { port, metricsPort: 0 },
    providers: [
      {
        type: 'github',
        url: github.url,
        apiUrl: github.apiUrl,
        clientId: github.app.clientId,
        clientSecret: github.app.clientSecret,
      },
    ],
    connectors: { main: { url: serverUrl, path: '/mcp', auth: 'identity' } },
  }).catch(async (error: unknown) => {
    await closeDoubles()
    throw error
  })
  return {
    issuer,
    mcpUrl: `${issuer}/mcp`,
    async signIn(browser) {
      const signedIn = await signInWithSdkOne(`${issuer}/mcp`, browser)
      shim.useToken('/mcp', signedIn.accessToken())
      await signedIn.close()
    },
    async close() {
      await postern.close()
      await closeDoubles()
    },
  }
}
