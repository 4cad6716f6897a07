/** Which status a code of a problem comes with: what documents and clients are told beforehand. */
import type { ErrorCode } from '../error-codes.ts'

/** Codes that a route names in `problems`. One that is missing here fails the documents. */
export const PROBLEM_STATUS: Partial<Readonly<Record<ErrorCode, number>>> = {
  ERR_API_BODY: 400,
  ERR_API_KEY: 401,
  ERR_API_ROLE: 403,
  ERR_API_APP: 403,
  ERR_API_NOT_FOUND: 404,
  ERR_API_IN_PROGRESS: 409,
  ERR_API_VERSION: 412,
  ERR_API_BODY_SIZE: 413,
  ERR_API_FIELDS: 422,
  ERR_API_CURSOR: 422,
  ERR_API_IDEMPOTENCY_KEY: 422,
  ERR_API_RATE: 429,
  ERR_API_UNEXPECTED: 500,
  ERR_API_UNAVAILABLE: 503,
  ERR_APP_UNKNOWN: 422,
  ERR_APP_ORIGIN: 422,
  ERR_APP_RETURN_URL: 422,
  ERR_CONFIRMATION: 409,
  ERR_CONNECTION_NEEDED: 409,
  ERR_CONNECTION_RECONNECT: 409,
  ERR_CONNECTOR_CHANGED: 412,
  ERR_CONNECTOR_IN_FILE: 409,
  ERR_CONNECTOR_LIMIT: 409,
  ERR_CONNECTOR_NOT_FOUND: 404,
  ERR_CONNECTOR_ORIGIN: 409,
}
