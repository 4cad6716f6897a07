/**
 * Clients that people really use discover, register, sign in and call a tool by themselves; chromium
 * is the person. Behind Postern stand the official server package and a FastMCP 4.x server.
 */

import { fileURLToPath } from 'node:url'
import type { Browser } from 'playwright-core'
import { afterAll, describe, expect, it, type TestContext } from 'vitest'
import { startGitHubDouble } from '../../demo/doubles/github.ts'
import { startFixture } from '../conformance-suite/fixture.ts'
import { findChromium, openBrowser, playBrowser } from '../kit/browser.ts'
import { need } from '../kit/needs.ts'
import { freePort, type ServedPostern, servePostern } from '../kit/postern.ts'
import { startProcess } from '../kit/process.ts'
import { type PythonEnvironment, preparePython } from '../kit/python.ts'
import { signInWithSdkOne } from './sdk-one.ts'
import { signInWithSdkTwo } from './sdk-two.ts'

const CLIENT_DEADLINE_MS = 180_000
const PREPARE_DEADLINE_MS = 600_000
const NOTES_SERVER = fileURLToPath(new URL('../python/notes_server.py', import.meta.url))
const CLIENT_APP = fileURLToPath(new URL('../python/client_app.py', import.meta.url))
const SIMPLE_TEXT = 'This is a simple text response for testing.'

interface Stage {
  readonly browser: Browser
  readonly postern: ServedPostern
  readonly officialUrl: string
  readonly notesUrl: string
  readonly notesPort: number
}

const cleanups: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup()
})

let staged: Promise<Stage> | undefined
function setStage(context: TestContext): Promise<Stage> {
  const chromium = need(context, 'chromium', findChromium())
  staged ??= openStage(chromium)
  return staged
}

async function openStage(chromium: string): Promise<Stage> {
  const browser = await openBrowser(chromium)
  cleanups.push(() => browser.close())
  const fixture = await startFixture()
  cleanups.push(() => fixture.close())
  const github = await startGitHubDouble()
  github.approveAutomatically(false)
  cleanups.push(() => github.close())
  const [port, notesPort] = [await freePort(), await freePort()]
  const issuer = `http://127.0.0.1:${port}`
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
    connectors: {
      official: { url: fixture.url },
      notes: {
        url: `http://127.0.0.1:${notesPort}/mcp`,
        subject: 'provider',
        claims: ['name', 'login'],
      },
    },
  })
  cleanups.push(() => postern.close())
  return {
    browser,
    postern,
    officialUrl: `${issuer}/mcp/official`,
    notesUrl: `${issuer}/mcp/notes`,
    notesPort,
  }
}

describe('clients that exist', () => {
  for (const [era, revision] of [
    ['legacy', '2025-11-25'],
    ['auto', '2026-07-28'],
  ] as const) {
    it(`the official TypeScript client 2.x signs in and calls a tool (${revision})`, {
      timeout: CLIENT_DEADLINE_MS,
    }, async (context) => {
      const stage = await setStage(context)
      const signedIn = await signInWithSdkTwo(stage.officialUrl, stage.browser, era)
      expect(signedIn.client.getNegotiatedProtocolVersion()).toBe(revision)
      const result = await signedIn.client.callTool({ name: 'test_simple_text' })
      expect(result.content).toEqual([{ type: 'text', text: SIMPLE_TEXT }])
      await signedIn.close()
    })
  }

  it('the 1.x SDK client signs in and calls a tool', {
    timeout: CLIENT_DEADLINE_MS,
  }, async (context) => {
    const stage = await setStage(context)
    const signedIn = await signInWithSdkOne(stage.officialUrl, stage.browser)
    const result = await signedIn.client.callTool({ name: 'test_simple_text' })
    expect(result.content).toEqual([{ type: 'text', text: SIMPLE_TEXT }])
    await signedIn.close()
  })

  it('the FastMCP client 4.x signs in and calls a tool of the official server', {
    timeout: PREPARE_DEADLINE_MS,
  }, async (context) => {
    const stage = await setStage(context)
    const python = need(context, 'Python with FastMCP 4.1.6', await preparePython('fastmcp-4'))
    expect(
      await playPythonClient(stage, python, stage.officialUrl, 'test_simple_text'),
    ).toMatchObject({ text: SIMPLE_TEXT })
  })

  it('the FastMCP client 4.x calls a FastMCP 4.x server that checks our JWT', {
    timeout: PREPARE_DEADLINE_MS,
  }, async (context) => {
    const stage = await setStage(context)
    const python = need(context, 'Python with FastMCP 4.1.6', await preparePython('fastmcp-4'))
    const notes = startProcess({
      name: 'notes server',
      command: python.executable,
      args: [NOTES_SERVER],
      env: {
        ...python.env,
        HOME: stage.postern.folder,
        PORT: String(stage.notesPort),
        JWKS_URI: `${stage.postern.issuer}/.well-known/jwks.json`,
        ISSUER: stage.postern.issuer,
        AUDIENCE: `http://127.0.0.1:${stage.notesPort}/mcp`,
      },
    })
    try {
      await notes.line(/Uvicorn running on/)
      const result = await playPythonClient(stage, python, stage.notesUrl, 'whoami')
      expect(result.structured).toEqual({ sub: '1001', login: 'ada', name: 'Ada Lovelace' })
    } finally {
      await notes.stop()
    }
  })
})

/** `BROWSER` makes Python's webbrowser module print the URL; chromium opens it instead. */
async function playPythonClient(
  stage: Stage,
  python: PythonEnvironment,
  url: string,
  tool: string,
): Promise<{ structured: unknown; text: string }> {
  const client = startProcess({
    name: 'FastMCP client',
    command: python.executable,
    args: [CLIENT_APP, url, tool],
    env: { ...python.env, HOME: stage.postern.folder, BROWSER: 'echo open %s' },
  })
  try {
    const opened = await client.line(/^open (http\S+)/)
    await playBrowser(stage.browser, opened[1] ?? '')
    const result = await client.line(/^result (.+)/)
    return JSON.parse(result[1] ?? '') as { structured: unknown; text: string }
  } finally {
    await client.stop()
  }
}
