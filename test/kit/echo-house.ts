/**
 * A house on a real listener in front of a bare socket, one person signed in, and calls as bytes: for
 * the families that break HTTP itself.
 */
import type { PosternConfig } from '../../src/config.ts'
import { type Echo, startEcho } from './echo.ts'
import type { Draw } from './family.ts'
import { openPlane } from './plane.ts'

export const CALL = '{"jsonrpc":"2.0","id":1,"method":"ping"}'

export interface EchoHouse {
  readonly echo: Echo
  readonly port: number
  /** Whole header lines. */
  readonly host: string
  readonly authorization: string
}

export async function openEchoHouse(limits: PosternConfig['limits'] = {}): Promise<EchoHouse> {
  const echo = await startEcho()
  const plane = await openPlane({
    provider: 'openid',
    clock: 'real',
    connectorUrl: echo.url,
    limits,
  })
  const { accessToken } = await plane.signIn()
  const { host, port } = new URL(plane.issuer)
  const authorization = `Authorization: Bearer ${accessToken}`
  return { echo, port: Number(port), host: `Host: ${host}`, authorization }
}

/** A whole good call, in the bytes of a client. */
export function goodCall({ host, authorization }: EchoHouse, body = CALL): string {
  const lines = ['POST /mcp/notes HTTP/1.1', host, authorization, 'Content-Type: application/json']
  return `${lines.join('\r\n')}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

/** Values of `Content-Length` that are none; `N` stands for the true one. */
export const LENGTHS = [
  '+N',
  '-N',
  '0xN',
  'N N',
  'N,N',
  'N, N',
  'N,',
  ',N',
  'N;',
  'N.0',
  'Ne0',
  '"N"',
  'N\x0b',
  '\x0cN',
  'N\0',
  'ten',
  '',
  ' ',
  'NaN',
  'N9999999999999999',
  '99999999999999999999999',
  '18446744073709551617',
]
/** Sizes of a chunk that are none. */
export const CHUNK_SIZES = [
  'zz',
  '-1',
  '+1',
  '0x1',
  '1g',
  '1 1',
  '',
  ' ',
  '\t1',
  '1_0',
  '1.0',
  '１',
  'fffffffffffffffff',
  '10000000000000000',
  '1\0',
  '\x0b1',
  '"1"',
]

export const control = (draw: Draw): string =>
  String.fromCharCode(draw.pick([0, 1, 7, 8, 0x0b, 0x0c, 0x1b, 0x7f]))
export const letters = (draw: Draw, count: number): string =>
  Array.from({ length: count }, () => draw.pick([...'abcdefghijklmnopqrstuvwxyz'])).join('')
export const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`
