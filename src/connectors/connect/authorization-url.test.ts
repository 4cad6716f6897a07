import { describe, expect, it } from 'vitest'
import { authorizationUrl } from './authorization-url.ts'

const parameters = new URLSearchParams({ client_id: 'ours', state: 'one' })

describe('authorizationUrl', () => {
  it('NET-08 O11: https, or http on this machine; nothing else is handed to a browser', () => {
    for (const endpoint of [
      'https://login.example/authorize',
      'http://127.0.0.1:9000/authorize',
      'http://localhost/authorize',
      'http://[::1]:9000/authorize',
    ])
      expect(authorizationUrl(endpoint, parameters)?.searchParams.get('state')).toBe('one')
    for (const endpoint of [
      'http://login.example/authorize',
      'javascript:alert(1)',
      'JaVaScRiPt:alert(1)',
      'data:text/html,<script>alert(1)</script>',
      'file:///etc/passwd',
      'vbscript:msgbox(1)',
      'blob:https://login.example/1',
      'ws://127.0.0.1/authorize',
      '//login.example/authorize',
      '/authorize',
      '',
      'https://ada:secret@login.example/',
      'https://login.example\\@evil.example/',
      'https://login.example/a b',
      'https://login.example/\u0000',
      '--remote-debugging-port=1',
    ])
      expect(authorizationUrl(endpoint, parameters), endpoint).toBeUndefined()
  })

  it('RFC 6749 section 3.1: keeps a query of the endpoint, and no name of ours comes twice', () => {
    const endpoint = 'https://login.example/authorize?tenant=a&client_id=theirs&state=x&state=y#top'
    const url = authorizationUrl(endpoint, parameters)
    expect(url?.href).toBe('https://login.example/authorize?tenant=a&client_id=ours&state=one')
  })
})
