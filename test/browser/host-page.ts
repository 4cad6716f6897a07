/**
 * A product's page on an origin of its own, with the strictest policy under which the element must
 * work, and its own backend: `/connect-session` answers with a session token. Violations of the
 * policy are counted in the page, as `window.violations`.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface HostPage {
  readonly origin: string
  /** Markup in the place of one element. */
  body: string
  /** Runs in the page as a module, after the markup. */
  script: string
  /** Does the page load `/widget.js`. Default true. */
  loadsWidget: boolean
  /** Sent with every page, over the policy. */
  headers: Readonly<Record<string, string>>
  /** What the product's backend hands to the page. */
  session: () => Promise<string>
  /** Times that the page asked for a session. */
  readonly asked: { count: number }
  issuer: string
  close(): Promise<void>
}

const ELEMENT = '<postern-connect></postern-connect>'
export const HAND_OVER = `
for (const element of document.querySelectorAll('postern-connect'))
  element.fetchSession = () => fetch('/connect-session', { method: 'POST' }).then((answer) => answer.text())
`
/** Before anything else, so that nothing is missed. */
const WATCH = `
window.violations = []
window.heard = []
document.addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective + ' ' + event.blockedURI))
for (const name of ['ready', 'change', 'confirm', 'error'])
  document.addEventListener('postern-' + name, (event) => heard.push([event.type, event.detail]))
`

export async function startHostPage(): Promise<HostPage> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', page.origin)
    if (pathname === '/connect-session') return void answerSession(response)
    if (pathname === '/watch.js' || pathname === '/page.js') {
      response.setHeader('content-type', 'text/javascript')
      response.end(pathname === '/watch.js' ? WATCH : page.script)
      return
    }
    response.setHeader('content-type', 'text/html; charset=utf-8')
    response.setHeader('content-security-policy', policy(page.issuer))
    for (const [name, value] of Object.entries(page.headers)) response.setHeader(name, value)
    response.end(document(page))
  })
  const answerSession = async (response: ServerResponse): Promise<void> => {
    page.asked.count += 1
    const session = await page.session().catch(() => undefined)
    if (session === undefined) response.writeHead(500)
    response.end(session)
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const page: HostPage = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    body: ELEMENT,
    script: HAND_OVER,
    loadsWidget: true,
    headers: {},
    session: () => Promise.reject(new Error('no session yet')),
    asked: { count: 0 },
    issuer: '',
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return page
}

/** `'self'` is the page's own code and backend; of the issuer, what api.md section 4 names. */
function policy(issuer: string): string {
  const { origin } = new URL(issuer)
  return [
    "default-src 'none'",
    `script-src 'self' ${origin}`,
    `connect-src 'self' ${origin}`,
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ')
}

function document({ issuer, body, loadsWidget }: HostPage): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Settings</title>
<script src="/watch.js"></script>${loadsWidget ? `<script type="module" src="${issuer}/widget.js"></script>` : ''}
<body><main><h1>Settings</h1>${body}</main><script type="module" src="/page.js"></script></body></html>`
}
