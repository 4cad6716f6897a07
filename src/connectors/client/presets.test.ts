import { expect, it } from 'vitest'
import { parseUrl } from '../../oauth/urls.ts'
import { findPreset, PRESETS } from './presets.ts'

it.each(PRESETS)('$name names an https endpoint, and pages that say so', (preset) => {
  const { endpoints, pinnedIssuer, registerAt, noteSource } = preset
  const urls = [preset.url, preset.source, pinnedIssuer, registerAt, noteSource]
  for (const url of [...urls, ...Object.values(endpoints ?? {})]) {
    if (url === undefined) continue
    expect(parseUrl(url), url).toMatchObject({ protocol: 'https:', username: '', hash: '' })
  }
  expect(preset.name).toMatch(/^[a-z0-9-]{1,40}$/)
  expect(preset.title).not.toBe('')
})

it('has each name once, in order', () => {
  const names = PRESETS.map(({ name }) => name)
  expect(names).toEqual([...new Set(names)].sort())
})

it.each(PRESETS.filter(({ registration }) => registration === 'by-hand'))(
  '$name says where a client is registered by hand',
  ({ registerAt }) => expect(registerAt).toBeDefined(),
)

it.each(
  PRESETS.filter(({ pinnedIssuer, omitResource, endpoints }) =>
    Boolean(pinnedIssuer ?? omitResource ?? endpoints),
  ),
)('$name says what it deviates in', ({ note }) => expect(note).toBeDefined())

it('finds nothing under a name that no row has', () => {
  expect(findPreset('linear')?.url).toBe('https://mcp.linear.app/mcp')
  expect(findPreset('toString')).toBeUndefined()
})
