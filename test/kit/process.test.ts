/** The test's own tools are tested where a mistake in them would let a test pass for nothing. */
import { X509Certificate } from 'node:crypto'
import { connect, createServer } from 'node:tls'
import { describe, expect, it } from 'vitest'
import { createTestCa } from './ca.ts'
import { runProcess, startProcess } from './process.ts'

const node = (script: string) => ({
  name: 'child',
  command: process.execPath,
  args: ['-e', script],
})

describe('child processes of tests', () => {
  it('finds a line that was printed before anybody asked, and one that comes later', async () => {
    const child = startProcess(
      node(
        "console.log('ready 1'); process.stdin.resume(); setTimeout(() => console.log('then 2'), 10)",
      ),
    )
    expect((await child.line(/ready (\d)/))[1]).toBe('1')
    expect((await child.line(/then (\d)/))[1]).toBe('2')
    expect((await child.line(/ready (\d)/))[1]).toBe('1')
    await child.stop()
  })

  it('rejects a wait, with the last lines, when the child ends first', async () => {
    const child = startProcess(node("console.error('out of luck'); process.exitCode = 3"))
    await expect(child.line(/never/)).rejects.toThrow(/ended \(3\)[\s\S]*out of luck/)
    expect(await child.exited).toBe(3)
  })

  it('passes on no environment but what it is given', async () => {
    process.env.POSTERN_TEST_LEAK = 'leak'
    const { output } = await runProcess({
      ...node('console.log(process.env.POSTERN_TEST_LEAK, process.env.GIVEN)'),
      env: { GIVEN: 'given' },
      deadlineMs: 10_000,
    })
    delete process.env.POSTERN_TEST_LEAK
    expect(output).toBe('undefined given')
  })
})

describe('the test CA', () => {
  it('issues certificates that TLS accepts for their names and for no other', async () => {
    const ca = createTestCa()
    const issued = ca.issue(['github.com', 'api.github.com'])
    expect(new X509Certificate(issued.cert).checkIssued(new X509Certificate(ca.cert))).toBe(true)
    const server = createServer({ cert: issued.cert, key: issued.key }, (socket) => socket.end())
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        const address = server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
    const shake = (servername: string): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect({ host: '127.0.0.1', port, servername, ca: ca.cert })
        socket.once('secureConnect', () => resolve('accepted'))
        socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'refused'))
      })
    expect(await shake('api.github.com')).toBe('accepted')
    expect(await shake('example.com')).toBe('ERR_TLS_CERT_ALTNAME_INVALID')
    await new Promise((resolve) => server.close(resolve))
  })
})
