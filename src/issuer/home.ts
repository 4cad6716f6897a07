/**
 * Pages for people that need no client: `/` (the servers they may use, or sign-in), `/mcp.json`, and
 * sign-out of this browser.
 */
import { type HomeServer, homePage } from '../ui/home.ts'
import { messagePage } from '../ui/message.ts'
import { jsonAnswer, pageAnswer, redirectAnswer } from './answers.ts'
import { isSameOrigin } from './consent.ts'
import { returnPath, signInAnswer } from './consent-page.ts'
import { readCookies, sessionCookie } from './cookies.ts'
import { type IssuerHouse, mayUse, report } from './house.ts'
import { createFlowId } from './ids.ts'
import { refusalPage } from './refusals.ts'
import {
  accountDetail,
  accountLabel,
  endSession,
  findSignedIn,
  type SignedIn,
  touchSession,
} from './sessions.ts'

export async function home(house: IssuerHouse, http: Request): Promise<Response> {
  const jar = readCookies(http, house)
  const signedIn = await findSignedIn(house, jar)
  if (signedIn === undefined && house.providers.length > 0)
    return signInAnswer(house, jar, house.paths.home)
  if (signedIn !== undefined) touchSession(house, signedIn)
  const detail = signedIn === undefined ? undefined : accountDetail(signedIn.user.value)
  const page = homePage(house.pages, {
    ...(signedIn === undefined
      ? {}
      : {
          account: {
            label: accountLabel(signedIn.user.value),
            ...(detail === undefined ? {} : { detail }),
          },
        }),
    servers: await withConnections(house, signedIn),
    ...(house.linking?.() === undefined ? {} : { connectPath: house.paths.connect }),
    logoutPath: house.paths.logout,
    accountPath: house.paths.account,
    configPath: house.paths.mcpJson,
  })
  return pageAnswer(page)
}

/** The state of the person's connection, where a server needs an account elsewhere. */
async function withConnections(
  house: IssuerHouse,
  signedIn: SignedIn | undefined,
): Promise<readonly HomeServer[]> {
  const connecting = house.linking?.()
  const shown = servers(house, signedIn)
  if (connecting === undefined || signedIn === undefined) return shown
  const known = await connecting.pages.describe({ ...house, connecting }, signedIn)
  return shown.map((server) => {
    const found = known.find(({ connector }) => connector === server.name)
    if (found?.connectPath === undefined || found.state === 'gone') return server
    const { state, label, connectPath: path } = found
    return { ...server, connection: { state, path, ...(label === undefined ? {} : { label }) } }
  })
}

/** One file for a client's settings, with every server this person may use. */
export async function mcpJson(house: IssuerHouse, http: Request): Promise<Response> {
  const signedIn = await findSignedIn(house, readCookies(http, house))
  if (signedIn === undefined && house.providers.length > 0) return redirectAnswer(house.paths.home)
  const entries = servers(house, signedIn).map((server) => [
    server.name,
    { type: 'http', url: server.url },
  ])
  return jsonAnswer({ mcpServers: Object.fromEntries(entries) })
}

function servers(house: IssuerHouse, signedIn: SignedIn | undefined): readonly HomeServer[] {
  return house.resources.flatMap((entry) => {
    if (entry.connector === undefined) return []
    if (signedIn !== undefined && !mayUse(house, signedIn.user.value, entry)) return []
    const { name, title, description } = entry.connector
    return [
      {
        name,
        url: entry.resource,
        ...(title === undefined ? {} : { title }),
        ...(description === undefined ? {} : { description }),
      },
    ]
  })
}

/** Ends this browser's session only; `return_to` is a path of ours or nothing (A21). */
export async function logout(house: IssuerHouse, http: Request): Promise<Response> {
  const flowId = createFlowId(house.runtime)
  if (!isSameOrigin(house, http)) {
    const message = {
      side: 'you',
      title: 'Sign out was not asked for here',
      text: 'The request came from another site.',
    } as const
    return refusalPage(house, message, { reason: 'logout_cross_site', flowId }, { status: 403 })
  }
  const jar = readCookies(http, house)
  const value = sessionCookie.read(jar)
  if (value !== undefined) {
    await endSession(house, house.runtime.sha256(value))
    report(house, { type: 'signin.completed', level: 'debug', reason: 'signed_out', flowId })
  }
  const target = returnPath(house, new URL(http.url).searchParams.get('return_to') ?? undefined)
  if (target !== undefined) return redirectAnswer(target, [sessionCookie.drop(jar)])
  const message = {
    title: 'Signed out',
    text: 'This browser is signed out. Your apps stay connected.',
    link: { path: house.paths.home, text: 'Sign in again' },
    flowId,
  }
  return pageAnswer(messagePage(house.pages, message), 200, [sessionCookie.drop(jar)])
}
