/**
 * `undici`, loaded when something first goes out: it is half of the time that a start would take.
 * `serve` asks for it right after it listens, so that the first call rarely waits.
 */

let library: typeof import('undici') | undefined
let loading: Promise<typeof import('undici')> | undefined

/** The library when it is here: no promise for a call that need not wait. */
export function loadedUndici(): typeof import('undici') | undefined {
  return library
}

/** @throws What the import says; the next caller tries again. */
export function loadUndici(): Promise<typeof import('undici')> {
  loading ??= import('undici').then(
    (loaded) => {
      library = loaded
      return loaded
    },
    (error: unknown) => {
      loading = undefined
      throw error
    },
  )
  return loading
}
