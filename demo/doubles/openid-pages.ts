/** The one page of the OpenID double: who are you, and do you agree. Works without script. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { InteractionDetails, Provider } from 'oidc-provider'
import { escapeHtml, readBody } from './faults.ts'
import type { Person } from './people.ts'

export async function showInteraction(
  provider: Provider,
  people: readonly Person[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const details = await provider.interactionDetails(request, response)
  const known = people.filter(({ login }) => login === details.session?.accountId)
  // Consent is asked of who is signed in; everything else asks who it is.
  const offered = details.prompt.name === 'consent' && known.length > 0 ? known : people
  const buttons = offered.map(
    ({ login, name }) =>
      `<button name="person" value="${escapeHtml(login)}">Continue as ${escapeHtml(name)}</button>`,
  )
  const hint =
    offered.length === 1
      ? `<input type="hidden" name="known" value="${escapeHtml(offered[0]?.login ?? '')}">`
      : ''
  response.writeHead(200, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
  })
  response.end(`<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<title>Demo provider</title>
<style>body{font:1rem/1.5 system-ui;max-width:26rem;margin:4rem auto;padding:0 1rem}button{display:block;width:100%;margin:.5rem 0;padding:.6rem;font:inherit}</style>
<h1>Demo provider</h1>
<p>${escapeHtml(details.params['client_id'] ?? 'An application')} wants to know who you are.</p>
<form method="post" action="/interaction/${escapeHtml(details.uid)}">${hint}
${buttons.join('\n')}
<button name="person" value="nobody">Cancel</button></form></html>`)
}

/** One answer for sign-in and consent together. */
export async function submitInteraction(
  provider: Provider,
  people: readonly Person[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chosen = new URLSearchParams(await readBody(request)).get('person')
  const person = people.find(({ login }) => login === chosen)
  const details = await provider.interactionDetails(request, response)
  const result =
    person === undefined
      ? { error: 'access_denied', error_description: 'the person cancelled' }
      : {
          login: { accountId: person.login },
          select_account: {},
          consent: { grantId: await grantTo(provider, details, person) },
        }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false })
}

async function grantTo(
  provider: Provider,
  details: InteractionDetails,
  person: Person,
): Promise<string> {
  const clientId = details.params['client_id'] ?? ''
  const isSame = details.session?.accountId === person.login && details.grantId !== undefined
  const known = isSame ? await provider.Grant.find(details.grantId ?? '') : undefined
  const grant = known ?? new provider.Grant({ accountId: person.login, clientId })
  grant.addOIDCScope(details.params['scope'] ?? 'openid')
  return await grant.save()
}
