/** A server of its own process that protects itself by the issuer's keys and marks: `protect-process.test.ts`. */
import { createServer } from 'node:http'
import { mount, protect } from '../../src/node/index.ts'

const { ISSUER = '', RESOURCE = '', CREDENTIAL } = process.env
const house = { issuer: ISSUER, resource: RESOURCE, credential: CREDENTIAL }
const guard = protect(house)
const server = createServer(
  mount(house, async (request, response) => {
    const principal = await guard(request, response)
    if (principal === undefined) return
    response.setHeader('content-type', 'application/json').end(JSON.stringify(principal))
  }),
)
server.listen(Number(new URL(RESOURCE).port), '127.0.0.1', () => process.stdout.write('ready\n'))
