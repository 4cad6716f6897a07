/**
 * The product: people sign in, see their settings, sign out. What a variant adds are further routes and
 * the part of the settings page that is about accounts elsewhere.
 */
import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { html } from 'hono/html'
import type { Environment } from './environment.ts'
import { endSession, findByPassword, sessionPerson, startSession } from './sessions.ts'

type Variables = { Variables: { person: string } }
export type Product = Hono<Variables>
export type ProductContext = Context<Variables>
type Markup = ReturnType<typeof html>

/** Everything comes from here, and no page of ours stands in a frame. */
const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  // Not no-referrer: with that a browser hides the origin of our own forms, too.
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
}

const STYLE = `:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
main { max-width: 36rem; margin: 2rem auto; padding: 0 1rem }
label { display: block; margin: 0.5rem 0 }
input, button { font: inherit; padding: 0.25rem 0.5rem }
`

/** @param accounts The part of the settings page that a variant gives. */
export function createProduct(
  env: Environment,
  accounts: (context: ProductContext) => Markup | Promise<Markup>,
): Product {
  const product: Product = new Hono<Variables>()
  product.get('/', (context) => context.redirect('/settings', 303))
  product.get('/product.css', (context) =>
    context.body(STYLE, 200, { 'content-type': 'text/css; charset=utf-8' }),
  )
  product.get('/login', (context) => page(context, loginForm(false)))
  product.post('/login', async (context) => {
    if (!isSameOrigin(context, env)) return context.text('Send this from our own page.', 403)
    const form = await context.req.formData()
    const person = await findByPassword(env, String(form.get('id')), String(form.get('password')))
    if (person === undefined) return page(context, loginForm(true), 401)
    context.header('set-cookie', await startSession(env, person))
    return context.redirect('/settings', 303)
  })
  product.post('/logout', (context) => {
    if (!isSameOrigin(context, env)) return context.text('Send this from our own page.', 403)
    context.header('set-cookie', endSession(env))
    return context.redirect('/login', 303)
  })
  product.get('/settings', signedIn(env), async (context) =>
    page(
      context,
      html`<h1>Settings</h1>
        <p>Signed in as <b>${context.get('person')}</b></p>
        <form method="post" action="/logout"><button>Sign out</button></form>
        <h2>Connected accounts</h2>
        ${await accounts(context)}`,
    ),
  )
  return product
}

/** Lets signed-in people through, and knows who it is; sends others to the form. */
export function signedIn(env: Environment): MiddlewareHandler<Variables> {
  return async (context, next) => {
    const person = await sessionPerson(context.req.raw, env)
    if (person === undefined) return context.redirect('/login', 303)
    context.set('person', person)
    return next()
  }
}

/** A form or a script of another site sends its own origin, or none. */
export function isSameOrigin(context: Context, { PUBLIC_URL }: Environment): boolean {
  return context.req.header('origin') === PUBLIC_URL
}

export function page(
  context: Context,
  body: Markup,
  status: 200 | 401 | 502 = 200,
): Response | Promise<Response> {
  for (const [name, value] of Object.entries(HEADERS)) context.header(name, value)
  return context.html(
    html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Example product</title><link rel="stylesheet" href="/product.css"></head>
<body><main>${body}</main></body>
</html>`,
    status,
  )
}

function loginForm(isWrong: boolean): Markup {
  return html`<h1>Sign in</h1>
    ${isWrong ? html`<p role="alert">That is not right.</p>` : ''}
    <form method="post" action="/login">
      <label>Name <input name="id" autocomplete="username" required></label>
      <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
      <button>Sign in</button>
    </form>`
}
