/**
 * Mistakes that are told while the house runs, as `code`, what is wrong, what to do: the same text on
 * the command line, in the log and on a page (api.md section 6). Those of the start are `ConfigError`s.
 */
import type { ShownErrorCode } from './error-codes.ts'

export interface Mistake {
  readonly code: ShownErrorCode
  readonly problem: string
  readonly fix: string
}

/** The two lines of a terminal. */
export function mistakeLines({ code, problem, fix }: Mistake): readonly [string, string] {
  return [`${code}: ${problem}`, fix]
}

/** @param presented Absent: the client has several and named none. */
export function redirectUriMistake(clientName: string, presented: string | undefined): Mistake {
  return {
    code: 'ERR_REDIRECT_URI',
    problem:
      presented === undefined
        ? `client "${clientName}" has several redirect URIs and named none.`
        : `${presented} is not a redirect URI of client "${clientName}".`,
    fix: 'If you wrote the client: register this exact URI. We do not send you there.',
  }
}

export function connectorMistake(connector: { name: string; url: URL }): Mistake {
  return {
    code: 'ERR_CONNECTOR_UNREACHABLE',
    problem: `nothing answers at ${connector.url} (connection refused).`,
    fix: `Start the server, or correct connectors.${connector.name}.url. Sign-in works meanwhile; calls get 502.`,
  }
}

/**
 * @param audience What the token is for.
 * @param asked The resource that was asked instead; its path where both are on one origin.
 */
export function audienceMistake(audience: string, asked: string): Mistake {
  const [theirs, ours] = [URL.parse(audience), URL.parse(asked)]
  const shown = ours !== null && theirs?.origin === ours.origin ? ours.pathname : asked
  return {
    code: 'ERR_TOKEN_AUDIENCE',
    problem: `this token is for ${audience}, not for ${shown}.`,
    fix: 'The client must sign in to each server URL; check the URL in its settings for a typo.',
  }
}
