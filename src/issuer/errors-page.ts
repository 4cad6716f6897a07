/**
 * `GET /errors/{code}`: what an `ERR_*` code means and what to do, from our own table: nothing outside
 * is asked and nothing of this house is told. A page for people, JSON for programs.
 */
import {
  API_ERRORS,
  CONFIG_ERRORS,
  SHOWN_ERRORS,
  STORE_ERRORS,
  UPSTREAM_ERRORS,
} from '../error-codes.ts'
import { type ErrorEntry, errorPage } from '../ui/error.ts'
import { messagePage } from '../ui/message.ts'
import { jsonAnswer, pageAnswer } from './answers.ts'
import type { IssuerHouse } from './house.ts'

const ENTRIES: ReadonlyMap<string, ErrorEntry> = new Map(
  [CONFIG_ERRORS, UPSTREAM_ERRORS, STORE_ERRORS, SHOWN_ERRORS, API_ERRORS].flatMap((table) =>
    Object.entries(table).map(([code, row]) => [code, { code, ...row }] as const),
  ),
)

export async function explainError(house: IssuerHouse, http: Request): Promise<Response> {
  const code = new URL(http.url).pathname.slice(house.paths.errors.length)
  const entry = ENTRIES.get(code)
  const wantsJson = (http.headers.get('accept') ?? '').includes('application/json')
  if (entry === undefined) {
    if (wantsJson) return jsonAnswer({ error: 'not_found' }, 404)
    const message = {
      title: 'No such code',
      text: 'This server knows no error of that name.',
      fix: 'Codes begin with ERR_ and are written in capitals.',
    }
    return pageAnswer(messagePage(house.pages, message), 404)
  }
  if (wantsJson) {
    const { meaning, fix } = entry
    const type = `${house.issuerUrl.origin}${house.paths.errors}${entry.code}`
    return jsonAnswer({ type, code: entry.code, title: meaning, fix })
  }
  return pageAnswer(errorPage(house.pages, entry))
}
