/**
 * What a Fetch port rejects with: the code of the later `UpstreamError` and one bounded word that
 * says what happened, for the log. The port knows neither the operation nor who asked.
 */
import type { UpstreamErrorCode } from '../errors.ts'

export class FetchFailure extends Error {
  override readonly name = 'FetchFailure'
  readonly code: UpstreamErrorCode
  /** Bounded words such as `self-signed`, `wrong-name`, `refused`: never text of the other side. */
  readonly reason: string
  constructor(code: UpstreamErrorCode, reason: string, cause?: unknown) {
    super(`${code}: ${reason}`, { cause })
    this.code = code
    this.reason = reason
  }
}
