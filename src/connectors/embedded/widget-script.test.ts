import { gzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { widgetScript } from './widget-script.ts'

const URL = 'https://auth.example/widget.js'
const SIZE_MAX_BYTES = 12 * 1024

it('W8: any site may load the script, without credentials, and keep it for five minutes', async () => {
  const answer = await widgetScript(new Request(URL))
  expect(Object.fromEntries(answer.headers)).toMatchObject({
    'content-type': 'text/javascript; charset=utf-8',
    'cache-control': 'public, max-age=300',
    'cross-origin-resource-policy': 'cross-origin',
    'access-control-allow-origin': '*',
    'x-content-type-options': 'nosniff',
    etag: expect.stringMatching(/^"[\w-]{22}"$/),
  })
  expect(answer.headers.has('access-control-allow-credentials')).toBe(false)
  const etag = answer.headers.get('etag') ?? ''
  const again = await widgetScript(new Request(URL, { headers: { 'if-none-match': etag } }))
  expect(again.status).toBe(304)
  expect(await again.text()).toBe('')
})

it('is one module of at most 12 kB over the wire that names no other file and no markup sink', async () => {
  const text = await (await widgetScript(new Request(URL))).text()
  expect(gzipSync(text).length).toBeLessThanOrEqual(SIZE_MAX_BYTES)
  expect(text).not.toMatch(/\bimport\s*[("'`{*]|\bimport\s+\w/)
  expect(text).not.toMatch(
    /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|Storage\b|document\.cookie/,
  )
})
