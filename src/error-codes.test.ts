import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import {
  API_ERRORS,
  CONFIG_ERRORS,
  SHOWN_ERRORS,
  STORE_ERRORS,
  UPSTREAM_ERRORS,
} from './error-codes.ts'

const ROOT = fileURLToPath(new URL('.', import.meta.url))
const OURS =
  /'(ERR_(?:CONFIG|LISTEN|UPSTREAM|STORE|CLIENT|REDIRECT|PROVIDER|CONNECTION|CONNECTOR|DISCOVERY|TOKEN|API|APP|WIDGET|CONNECT|CONFIRM|WEBHOOK|USER|GRANT|OPERATION)_[A-Z_]+|ERR_CONFIRMATION)[':]/g
const PRINTED = /`(ERR_[A-Z_]+):/g

function usedCodes(): ReadonlySet<string> {
  const texts = globSync('**/*.ts', { cwd: ROOT })
    .filter((path) => !/\.test\.ts$|error-codes\.ts$/.test(path))
    .map((path) => readFileSync(`${ROOT}/${path}`, 'utf8'))
  return new Set(
    texts.flatMap((text) =>
      [...text.matchAll(OURS), ...text.matchAll(PRINTED)].map(([, code]) => code ?? ''),
    ),
  )
}

it('has one row for each code that the source uses, and none for a code that it does not', () => {
  const rows = {
    ...CONFIG_ERRORS,
    ...UPSTREAM_ERRORS,
    ...STORE_ERRORS,
    ...SHOWN_ERRORS,
    ...API_ERRORS,
  }
  expect([...usedCodes()].sort()).toEqual(Object.keys(rows).sort())
})
