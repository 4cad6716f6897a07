/** `postern keys new`: prints one sealing key, 32 random bytes in base64url. It is kept nowhere. */
import { randomBytes } from 'node:crypto'
import { defineCommand } from 'citty'

export const keysCommand = defineCommand({
  meta: {
    name: 'keys',
    description: 'Makes keys. Example: export POSTERN_SEALING_KEY=$(postern keys new)',
  },
  subCommands: {
    new: defineCommand({
      meta: { name: 'new', description: 'Prints a new sealing key (32 bytes, base64url).' },
      run() {
        console.log(randomBytes(32).toString('base64url'))
      },
    }),
  },
})
