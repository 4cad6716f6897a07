/** What `protect({ issuer, resource })` runs on in a process that has no `Postern`: made once, on first use. */
import type { RemotePlatform } from '../middleware/protectable.ts'
import { createNodeEmit } from './emit.ts'
import { createNodeFetch } from './fetch.ts'
import { createNodeRuntime } from './runtime.ts'

let platform: RemotePlatform | undefined

/** Warnings go to standard error: standard output belongs to the user's own server. */
export function remotePlatform(): RemotePlatform {
  platform ??= createRemotePlatform()
  return platform
}

function createRemotePlatform(): RemotePlatform {
  const emit = createNodeEmit(process.stderr)
  emit.configure({ level: 'warn', format: 'auto' }, undefined)
  return { runtime: createNodeRuntime(), emit, openFetch: (settings) => createNodeFetch(settings) }
}
