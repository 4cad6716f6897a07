import { createElement } from 'react'
import { renderToString } from 'react-dom/server'
import { expect, it } from 'vitest'
import { PosternConnect, useConnections } from './index.ts'

const fetchSession = () => Promise.reject(new Error('never on a server'))
const issuer = 'https://auth.example'

function Own() {
  const { connections, isLoading, error } = useConnections({ issuer, fetchSession })
  return createElement('p', null, JSON.stringify({ connections, isLoading, error }))
}

it('renders on a server: the element with its attributes, no session asked for', () => {
  const element = createElement(PosternConnect, {
    issuer,
    fetchSession,
    connectors: ['notes', 'tasks'],
    layout: 'buttons',
    className: 'product',
  })
  expect(renderToString(element)).toBe(
    '<postern-connect issuer="https://auth.example" connectors="notes tasks" layout="buttons" class="product"></postern-connect>',
  )
})

it('gives an empty list that is loading on a server', () => {
  expect(renderToString(createElement(Own))).toContain('isLoading&quot;:true')
})
