import { expect, it } from 'vitest'
import { readBody } from './body.ts'

const requestOf = (chunks: readonly string[], isCut = false): Request => {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk))
      if (isCut) controller.error(new Error('aborted'))
      else controller.close()
    },
  })
  const init = { method: 'POST', body, duplex: 'half' }
  return new Request('https://auth.example/register', init)
}

it('B26: an announced body is read whole, refused by its length, and empty when it was cut off', async () => {
  const announced = (chunks: readonly string[], length: number, isCut = false) => {
    const request = requestOf(chunks, isCut)
    request.headers.set('content-length', String(length))
    return readBody(request, 64)
  }
  expect(await announced(['{"a":', '1}'], 7)).toBe('{"a":1}')
  expect(await announced(['x'.repeat(65)], 65)).toBeUndefined()
  expect(await announced(['x'.repeat(65)], 3)).toBeUndefined()
  expect(await announced(['{"a":1}'], 7, true)).toBe('')
})

it('B26: a body that is cut off is empty, and half of it means nothing', async () => {
  expect(await readBody(requestOf(['{"a":', '1}']), 64)).toBe('{"a":1}')
  expect(await readBody(requestOf(['{"a":1}'], true), 64)).toBe('')
  expect(await readBody(requestOf(['x'.repeat(65)]), 64)).toBeUndefined()
})
