/**
 * `GET /widget.js`: the element as one module, the same text on every runtime. Any site may load it, so
 * it holds nothing of this house; what the element may do, its session decides.
 */
import { documentAnswer } from '../../issuer/answers.ts'

const MAX_AGE_SECONDS = 300

export async function widgetScript(request: Request): Promise<Response> {
  // Read at the first request: a start does not pay for it.
  const { WIDGET_ETAG, WIDGET_SCRIPT } = await import('./widget-bundle.ts')
  const answer = documentAnswer(request, {
    body: WIDGET_SCRIPT,
    etag: WIDGET_ETAG,
    contentType: 'text/javascript; charset=utf-8',
    maxAgeSeconds: MAX_AGE_SECONDS,
  })
  answer.headers.set('cross-origin-resource-policy', 'cross-origin')
  answer.headers.set('x-content-type-options', 'nosniff')
  return answer
}
