import { describe, expect, it } from 'vitest'
import { parseConfig } from './parse.ts'

const read = (apps: unknown, environment: Record<string, string> = {}) =>
  parseConfig({ apps }, { environment })

describe('apps', () => {
  it('says where a product’s pages are, and confirms by the widget unless told otherwise', () => {
    const user = () => 'ada'
    const { apps } = read({
      shop: { origins: ['https://shop.example'], returnUrls: ['https://shop.example/a?b=c'] },
      desk: { origins: ['http://localhost:5173'], confirm: 'backend', user },
    })
    expect(apps).toEqual([
      {
        name: 'shop',
        origins: ['https://shop.example'],
        returnUrls: ['https://shop.example/a?b=c'],
        confirm: 'widget',
      },
      {
        name: 'desk',
        origins: ['http://localhost:5173'],
        returnUrls: [],
        confirm: 'backend',
        user,
      },
    ])
    expect(parseConfig({}, { environment: {} }).apps).toEqual([])
  })

  it('W8: refuses origins that are no exact origin of https or of this machine', () => {
    for (const origin of [
      'http://shop.example',
      'https://shop.example/',
      'https://shop.example/a',
      'https://SHOP.example',
      'https://shop.example:443',
      'https://*.shop.example',
      '*',
      'null',
      '',
      'https://user@shop.example',
      'shop.example',
      'file:///etc',
    ])
      expect(() => read({ shop: { origins: [origin] } }), origin).toThrow(
        /apps\.shop\.origins\[0\]/,
      )
  })

  it('A21 O11: refuses return URLs that are not one exact place', () => {
    for (const url of [
      'http://shop.example/',
      'https://shop.example',
      'https://shop.example/#',
      'https://shop.example/#x',
      'https://user:pass@shop.example/',
      'https://shop.example/../a',
      'javascript:alert(1)',
      '/settings',
      `https://shop.example/${'a'.repeat(1_000)}`,
    ])
      expect(() => read({ shop: { returnUrls: [url] } }), url).toThrow(
        /apps\.shop\.returnUrls\[0\]/,
      )
  })

  it('refuses names, fields and functions that it does not know, and the environment', () => {
    for (const name of ['Shop', 'a:b', '', 'a'.repeat(41), 'a b'])
      expect(() => read({ [name]: {} })).toThrow(/lower-case letters/)
    expect(() => read({ shop: { origin: 'https://shop.example' } })).toThrow(/apps\.shop\.origins/)
    expect(() => read({ shop: { user: 'ada' } })).toThrow(/apps\.shop\.user must be a function/)
    expect(() => read({ shop: { confirm: 'nobody' } })).toThrow(/one of widget, backend/)
    expect(() => read({}, { POSTERN_APPS: '{}' })).toThrow(/POSTERN_APPS/)
  })
})
