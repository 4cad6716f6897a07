/**
 * Which connectors there are now: those of the configuration file, then those made by the API.
 *
 * The file's never change while the house is open. The list is one array for the whole life of the
 * house, refilled before anybody is told, so that rooms may keep it; it is read, never written to.
 */
import type { Config, ConnectorConfig } from '../config.ts'

export interface ConnectorDirectory {
  /** The file's, then those of the API by name; disabled ones included. Always the same array. */
  list(): readonly ConnectorConfig[]
  find(name: string): ConnectorConfig | undefined
  /** By the API; the others are read-only. */
  isMade(name: string): boolean
  /**
   * Told once after the list says so, of all connectors that came, went or are others now: who makes
   * something of the whole list does it once for a thousand of them.
   */
  onChange(listener: (names: readonly string[]) => void): () => void
}

export interface FilledDirectory extends ConnectorDirectory {
  /** Takes the place of all that were made before. A name of the file is left out: the file wins. */
  fill(made: readonly ConnectorConfig[]): void
}

export function createDirectory({ connectors }: Pick<Config, 'connectors'>): FilledDirectory {
  const ofFile: readonly ConnectorConfig[] = [...connectors]
  const names = new Set(ofFile.map(({ name }) => name))
  const list: ConnectorConfig[] = [...ofFile]
  const listeners = new Set<(names: readonly string[]) => void>()
  const byName = new Map(list.map((connector) => [connector.name, connector]))
  return {
    list: () => list,
    find: (name) => byName.get(name),
    isMade: (name) => byName.get(name)?.made === true,
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    fill(made) {
      const shown = made
        .filter(({ name }) => !names.has(name))
        .sort((left, right) => (left.name < right.name ? -1 : 1))
      const before = new Map(byName)
      list.splice(ofFile.length, list.length, ...shown)
      byName.clear()
      for (const connector of list) byName.set(connector.name, connector)
      const all = new Set([...before.keys(), ...byName.keys()])
      const touched = [...all].filter((name) => before.get(name) !== byName.get(name))
      if (touched.length > 0) for (const listener of listeners) listener(touched)
    },
  }
}

/**
 * Only these have to be asked whether they want to know our people: of one of the file the operator has
 * said so (flows.md section 12).
 */
export function needsConsent({ made, auth, enabled }: ConnectorConfig): boolean {
  return made === true && auth === 'identity' && enabled
}

/**
 * The configuration as the rooms of an open house see it: `connectors` is what there is now. What the
 * file alone may say (approved origins) leaves out the connectors that are `made`.
 */
export function withDirectory(config: Config, directory: ConnectorDirectory): Config {
  return { ...config, connectors: directory.list() }
}
