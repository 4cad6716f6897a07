/** The server without anything of ours: the baseline of P1, P3, P16, P19 and P20. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answerCall } from './answer.ts'
import { offer } from './channel.ts'

const server = createServer(answerCall)
server.listen(0, '127.0.0.1', () => offer({ port: (server.address() as AddressInfo).port }))
