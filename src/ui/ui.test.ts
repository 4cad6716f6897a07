import { describe, expect, it } from 'vitest'
import { accentOf } from './style.ts'
import { shownText } from './text.ts'
import { ourScopeWords, providerScopeWords } from './words.ts'

describe('shownText', () => {
  it('B22: bidi, zero width, controls, tags, lone surrogates and line breaks do not reach a page', () => {
    const hostile = [
      '\u202e',
      '\u2066',
      '\u200b',
      '\u200f',
      '\ufeff',
      '\u0000',
      '\u0007',
      '\u{e0041}',
      '\ud800',
      '\u2028',
      '\u3164',
      '\ufe0f',
    ]
    for (const character of hostile) {
      expect(shownText(`Cur${character}sor`), character.codePointAt(0)?.toString(16)).toMatch(
        /^Cur ?sor$/,
      )
    }
    expect(shownText(' \u200b\n\t ')).toBe('')
    expect(shownText('Zoë  Ångström\n東京')).toBe('Zoë Ångström 東京')
  })

  it('cuts by code points, with an ellipsis', () => {
    expect(shownText('😀'.repeat(100), 5)).toBe('😀😀😀😀…')
    expect(shownText(undefined)).toBe('')
  })
})

describe('accentOf', () => {
  it('puts the text colour on a brand colour that has at least 4.5:1', () => {
    expect(accentOf('#FFFFFF')).toEqual({ fill: '#ffffff', text: '#000000' })
    expect(accentOf('#000000')).toEqual({ fill: '#000000', text: '#ffffff' })
    expect(accentOf('#ffcc00')?.text).toBe('#000000')
    expect(accentOf('#0a3cff')?.text).toBe('#ffffff')
  })

  it('refuses anything but #rrggbb, so that no configuration can write style rules', () => {
    for (const color of [
      undefined,
      'red',
      '#fff',
      '#12345g',
      '#123456;}body{display:none',
      ' #123456',
    ]) {
      expect(accentOf(color)).toBeUndefined()
    }
  })
})

describe('scope words', () => {
  it('CON-04: never hides a scope that has no words', () => {
    expect(ourScopeWords(['mcp', 'notes:write']).map((entry) => entry.words)).toEqual([
      'Use every tool of this server in your name',
      'Use what this server calls “notes:write”',
    ])
    expect(providerScopeWords(['repo', 'admin:everything']).at(1)?.words).toBe('admin:everything')
  })
})
