import { describe, expect, it } from 'vitest'
import {
  judgeResourceMetadata,
  resourceIdentifier,
  resourceMetadataUrls,
} from './resource-metadata.ts'

const judge = (resource: string, url: string, rule: { strict?: boolean; atRoot?: boolean } = {}) =>
  judgeResourceMetadata({ resource, authorization_servers: ['https://a.example'] }, new URL(url), {
    strict: rule.strict === true,
    atRoot: rule.atRoot === true,
  }).ok

describe('resourceMetadataUrls', () => {
  it.each([
    [
      'https://h/mcp',
      [
        'https://h/.well-known/oauth-protected-resource/mcp',
        'https://h/.well-known/oauth-protected-resource',
      ],
    ],
    [
      'https://h/a/b/?x=1',
      [
        'https://h/.well-known/oauth-protected-resource/a/b/?x=1',
        'https://h/.well-known/oauth-protected-resource',
      ],
    ],
    ['https://h', ['https://h/.well-known/oauth-protected-resource']],
  ])('DSC-01: of %s, in order', (url, expected) => {
    expect(resourceMetadataUrls(new URL(url)).map(({ href }) => href)).toEqual(expected)
  })

  it('CLI-07: a server at the root has no slash', () => {
    expect(resourceIdentifier(new URL('https://h/'))).toBe('https://h')
    expect(resourceIdentifier(new URL('https://h/mcp/'))).toBe('https://h/mcp/')
  })
})

describe('judgeResourceMetadata', () => {
  it.each([
    ['https://h/mcp', 'https://h/mcp', true, true],
    ['https://h', 'https://h/', true, true],
    ['https://h/', 'https://h/', true, true],
    ['https://h', 'https://h/mcp', true, false],
    ['https://h/', 'https://h/mcp', true, false],
    ['https://h/mcp/', 'https://h/mcp', true, false],
    ['https://h/mcp', 'https://h/mcp/', true, false],
    ['https://h/a', 'https://h/a/mcp', true, false],
    ['https://h/mc', 'https://h/mcp', false, false],
    ['https://h/mcp/x', 'https://h/mcp', false, false],
    ['https://h2/mcp', 'https://h/mcp', false, false],
    ['http://h/mcp', 'https://h/mcp', false, false],
    ['https://h:444/mcp', 'https://h/mcp', false, false],
    ['https://h/mcp#f', 'https://h/mcp', false, false],
    ['https://h/mcp?x', 'https://h/mcp', false, false],
    ['https://u@h/mcp', 'https://h/mcp', false, false],
    ['https://h/mcp?x=1', 'https://h/mcp?x=1', true, true],
  ])('DSC-03, DSC-04: %s for %s: by default %s, strict %s', (resource, url, usual, strict) => {
    expect(judge(resource, url)).toBe(usual)
    expect(judge(resource, url, { strict: true })).toBe(strict)
  })

  it('DSC-03: the document at the root speaks of the origin', () => {
    expect(judge('https://h', 'https://h/mcp', { strict: true, atRoot: true })).toBe(true)
    expect(judge('https://h/a', 'https://h/a/mcp', { strict: true, atRoot: true })).toBe(false)
  })
})
