/**
 * The routes of linked accounts: the list, a page per connector, its callback, the choice between two
 * accounts. Our client documents and keys stand beside them.
 */
import type { Hono } from 'hono'
import { methodNotAllowed, OPEN_CORS, preflight } from '../../issuer/answers.ts'
import { startFromLink } from '../embedded/app-link.ts'
import { addWidgetRoutes } from '../embedded/widget-routes.ts'
import { showConnect, startConnect } from './connect.ts'
import { connectCallback } from './connect-callback.ts'
import { showAssertionKeys, showClientDocument } from './connect-documents.ts'
import { describeConnections, endFromConnections, showConnections } from './connect-list.ts'
import { decideReplacement, showReplacement } from './connect-replace.ts'
import type { Apology, ConnectHouse, ConnectPages } from './connect-rooms.ts'
import { resumeQuestions } from './connect-waiting.ts'

type Page = (house: ConnectHouse, http: Request, connector: string) => Promise<Response>

export const connectPages: ConnectPages = {
  addRoutes: addConnectRoutes,
  describe: describeConnections,
  link: startFromLink,
}

function addConnectRoutes(app: Hono, own: ConnectHouse, guarded: Apology): void {
  const { paths } = own
  own.runtime.waitUntil(resumeQuestions(own))
  app.get(paths.connect, (context) => guarded(own, () => showConnections(own, context.req.raw)))
  app.post(paths.connect, (context) => guarded(own, () => endFromConnections(own, context.req.raw)))
  app.all(paths.connect, () => methodNotAllowed('GET, POST'))
  const keysPath = `${paths.connect}/jwks.json`
  app.get(keysPath, (context) => guarded(own, () => showAssertionKeys(own, context.req.raw)))
  app.options(keysPath, () => preflight('GET, HEAD'))
  app.all(keysPath, () => methodNotAllowed('GET, HEAD', OPEN_CORS))
  const at = `${paths.connect}/:connector` as const
  const add = (path: string, pages: { readonly get: Page; readonly post?: Page }): void => {
    const { get, post } = pages
    app.get(path, (context) =>
      guarded(own, () => get(own, context.req.raw, context.req.param('connector') ?? '')),
    )
    if (post !== undefined)
      app.post(path, (context) =>
        guarded(own, () => post(own, context.req.raw, context.req.param('connector') ?? '')),
      )
    app.all(path, () => methodNotAllowed(post === undefined ? 'GET' : 'GET, POST'))
  }
  add(at, { get: showConnect, post: startConnect })
  const documentPath = `${at}/client.json`
  app.options(documentPath, () => preflight('GET, HEAD'))
  add(documentPath, { get: showClientDocument })
  add(`${at}/callback`, { get: connectCallback })
  add(`${at}/replace`, { get: showReplacement, post: decideReplacement })
  if ((own.config.apps ?? []).length > 0) addWidgetRoutes(app, own, guarded)
}
