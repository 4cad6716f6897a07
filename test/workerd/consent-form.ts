/** A consent page of a house in workerd, answered without a browser. */

/** What a browser would send back. */
export const cookiesOf = (response: Response): string =>
  response.headers
    .getSetCookie()
    .map((cookie) => cookie.split(';')[0])
    .join('; ')

/** Presses "Allow" on the consent page: where to, and the request. */
export function allow(issuer: string, html: string, cookie: string): [string, RequestInit] {
  const form = /<form\b[^>]*action="([^"]+)"[^>]*>([\s\S]*?)<\/form>/.exec(html)
  const fields = new URLSearchParams()
  for (const [input] of (form?.[2] ?? '').matchAll(/<input\b[^>]*>/g)) {
    fields.set(/name="([^"]*)"/.exec(input)?.[1] ?? '', /value="([^"]*)"/.exec(input)?.[1] ?? '')
  }
  const button = /<button\b[^>]*name="([^"]+)"[^>]*value="([^"]+)"/.exec(form?.[2] ?? '')
  fields.set(button?.[1] ?? '', button?.[2] ?? '')
  const headers = { cookie, origin: issuer, 'sec-fetch-site': 'same-origin', accept: 'text/html' }
  return [form?.[1] ?? '', { method: 'POST', headers, body: fields }]
}
