/** The adapters that need nothing but this process. Each has its own file. */
export { createMemoryBus } from './memory-bus.ts'
export { createMemoryLock } from './memory-lock.ts'
export { createMemoryStore } from './memory-store.ts'
