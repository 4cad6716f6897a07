/** A product's page in React, bundled by its test: the element, and a list of its own with the hook. */
import { createElement, type ReactElement, StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { PosternConnect, useConnections } from '../../src/react/index.ts'

declare global {
  interface Window {
    told: unknown[]
    unmount: () => void
  }
}

window.told = []
const issuer = document.body.dataset.issuer ?? ''
const fetchSession = async (): Promise<string> => {
  const answer = await fetch('/connect-session', { method: 'POST' })
  return await answer.text()
}
const tell = (detail: unknown): void => void window.told.push(detail)

function Own(): ReactElement {
  const { connections, connect, disconnect, error, isLoading } = useConnections({
    issuer,
    fetchSession,
  })
  if (isLoading) return createElement('p', { id: 'own' }, 'loading')
  return createElement(
    'ul',
    { id: 'own', 'aria-label': 'Own list' },
    error === undefined ? null : createElement('li', null, error.code),
    connections.map(({ connector, title, state }) =>
      createElement(
        'li',
        { key: connector },
        `${title} is ${state} `,
        createElement(
          'button',
          {
            type: 'button',
            onClick: () => void (state === 'active' ? disconnect : connect)(connector),
          },
          `Toggle ${title}`,
        ),
      ),
    ),
  )
}

function App(): ReactElement {
  const [count, setCount] = useState(0)
  return createElement(
    'div',
    null,
    createElement(
      'button',
      { type: 'button', onClick: () => setCount(count + 1) },
      `Again ${count}`,
    ),
    createElement(PosternConnect, {
      issuer,
      // Another function each time, as people write it.
      fetchSession: () => fetchSession(),
      connectors: ['notes', 'tasks'],
      layout: 'list',
      theme: 'light',
      className: 'product',
      style: { maxWidth: '40rem' },
      onChange: (detail) => tell([count, detail]),
      onError: tell,
    }),
    createElement(Own),
  )
}

const root = createRoot(document.getElementById('app') ?? document.body)
root.render(createElement(StrictMode, null, createElement(App)))
window.unmount = () => root.unmount()
