/**
 * Postern on Node: `node()` for `createPostern`, and `mount` and `protect` for `node:http`.
 */
export { createDiscover } from './discover.ts'
export { type Authenticated, mount, protect } from './middleware.ts'
export { type NodeOptions, type NodePlatform, node } from './platform.ts'
export { type RunningServer, serve } from './server.ts'
