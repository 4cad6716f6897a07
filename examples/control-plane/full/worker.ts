/**
 * The control plane with Postern whole, beside the product's own routes: no OAuth of its own any more.
 *
 * People connect by the element in the settings page, or by a plain link; the product's session says
 * who they are. Tokens stay in Postern's database, sealed, and are always fresh when a tool is called.
 */
import { env as bindings } from 'cloudflare:workers'
import { html } from 'hono/html'
import { createPostern, isPosternError } from 'postern'
import { PosternLock, workers } from 'postern/workers'
import { createProduct, isSameOrigin, page, signedIn } from '../product/app.ts'
import type { Environment } from '../product/environment.ts'
import { sessionPerson } from '../product/sessions.ts'
import { callTool } from './call-tool.ts'

export { PosternLock }

const env = bindings as unknown as Environment & { readonly NOTES_URL: string }
const SETTINGS_URL = `${env.PUBLIC_URL}/settings`

const postern = createPostern(
  {
    issuer: env.PUBLIC_URL,
    connectors: { notes: { url: env.NOTES_URL, auth: 'oauth', title: 'Notes' } },
    apps: {
      dashboard: {
        origins: [env.PUBLIC_URL],
        returnUrls: [SETTINGS_URL],
        user: (request) => sessionPerson(request, env),
      },
    },
  },
  workers(bindings),
)

const CONNECT_URL = `/connect/notes?${new URLSearchParams({ app: 'dashboard', returnUrl: SETTINGS_URL })}`

const product = createProduct(
  env,
  () => html`<postern-connect connectors="notes"></postern-connect>
    <p>Or without a script: <a href="${CONNECT_URL}">connect Notes</a></p>
    <form method="post" action="/whoami"><button>Ask Notes who I am</button></form>
    <script type="module" src="/widget.js"></script>
    <script type="module" src="/settings.js"></script>`,
)

product.get('/settings.js', (context) =>
  context.body(
    `document.querySelector('postern-connect').fetchSession = async () => {
  const answer = await fetch('/connect-session', { method: 'POST' })
  if (!answer.ok) throw new Error('connect-session: ' + answer.status)
  return answer.text()
}
`,
    200,
    { 'content-type': 'text/javascript; charset=utf-8' },
  ),
)

/** The element asks for this whenever it needs to act for the person: 15 minutes, this origin. */
product.post('/connect-session', signedIn(env), async (context) => {
  if (!isSameOrigin(context, env)) return context.text('Send this from our own page.', 403)
  const user = context.get('person')
  const session = await postern.createConnectSession({
    user,
    origin: env.PUBLIC_URL,
    returnUrl: SETTINGS_URL,
  })
  return context.text(session.token, 200, { 'cache-control': 'no-store' })
})

/** A tool call with the person's own token. */
product.post('/whoami', signedIn(env), async (context) => {
  if (!isSameOrigin(context, env)) return context.text('Send this from our own page.', 403)
  try {
    const { accessToken } = await postern.getToken(context.get('person'), 'notes')
    const text = await callTool(env.NOTES_URL, accessToken, 'whoami')
    return page(context, html`<p>Notes says: ${text}</p><a href="/settings">Back</a>`)
  } catch (error) {
    if (!isPosternError(error)) throw error
    return page(
      context,
      html`<p>Notes is not connected. <a href="${CONNECT_URL}">Connect it</a></p>`,
    )
  }
})

// Last: everything that is not the product's own.
product.all('*', (context) =>
  postern.handles(context.req.url) ? postern.fetch(context.req.raw) : context.notFound(),
)

export default {
  fetch: (request: Request) => product.fetch(request),
  scheduled: () => postern.runDue(),
}
