/** Inputs of the bad-input families that several doors take: URLs, schemes, JSON, markup, text, numbers. */
import { createDraw, type Draw, distinct } from './family.ts'

/** Where nobody may be sent: none of these may be the host that a redirect goes to. */
export const EVIL = 'evil.example'

const NEAR_MISSES: readonly ((uri: URL, draw: Draw) => string)[] = [
  ({ href }) => `${href}/`,
  ({ href }) => `${href}//`,
  ({ href }) => `${href}?`,
  ({ href }) => `${href}#`,
  ({ href }) => `${href}#x`,
  ({ href }) => `${href}%20`,
  ({ href }) => `${href} `,
  ({ href }) => ` ${href}`,
  ({ href }) => `${href}\n`,
  ({ href }) => `\t${href}`,
  ({ href }) => `${href}\0`,
  ({ href }) => `${href}.${EVIL}`,
  ({ href }) => `${href}@${EVIL}/`,
  ({ href }, draw) => `${href}?x=${draw.whole(1e9)}`,
  ({ href }, draw) => `${href}&x=${draw.whole(1e9)}`,
  ({ href }, draw) => `${href};x=${draw.whole(1e9)}`,
  ({ href }, draw) => `${href}/${draw.whole(1e9)}`,
  ({ href }, draw) => `${href}/../${draw.whole(1e9)}`,
  ({ href }) => `${href}/.`,
  ({ href }) => `${href}/%2e%2e/x`,
  ({ href }) => href.slice(0, -1),
  ({ href }) => href.toUpperCase(),
  ({ origin, pathname }) => `${origin.toUpperCase()}${pathname}`,
  ({ origin, pathname }) => `${origin}/${pathname}`,
  ({ origin, pathname }) => `${origin}/.${pathname}`,
  ({ origin, pathname }) => `${origin}/x/..${pathname}`,
  ({ origin, pathname }) => `${origin}\\${pathname}`,
  ({ origin, pathname }) => `${origin}.${pathname}`,
  ({ origin, pathname }) => `${origin}.${EVIL}${pathname}`,
  ({ origin, pathname }) => `${origin}@${EVIL}${pathname}`,
  ({ origin, pathname }) => `${origin}:pw@${EVIL}${pathname}`,
  ({ origin, pathname }) => `${origin}%40${EVIL}${pathname}`,
  ({ origin, pathname }) => `${origin}%2f@${EVIL}${pathname}`,
  ({ origin, pathname }) => `${origin}\\@${EVIL}${pathname}`,
  ({ host, pathname }, draw) => `https://u${draw.whole(1e9)}@${host}${pathname}`,
  ({ host, pathname }, draw) => `https://${host}:${1 + draw.whole(65_535)}${pathname}`,
  ({ host, pathname }, draw) => `https://x${draw.whole(1e9)}.${host}${pathname}`,
  ({ host, pathname }, draw) => `https://${draw.whole(1e9)}${host}${pathname}`,
  ({ host, pathname }) => `http://${host}${pathname}`,
  ({ host, pathname }) => `//${host}${pathname}`,
  ({ host, pathname }) => `https:/${host}${pathname}`,
  ({ host, pathname }) => `https:${host}${pathname}`,
  ({ host, pathname }) => `https:///${host}${pathname}`,
  ({ host, pathname }) => `https:\\\\${host}${pathname}`,
  ({ host, pathname }) => `javascript://${host}${pathname}%0aalert(1)`,
  ({ host, pathname }) => `data:text/html,${host}${pathname}`,
  ({ host, pathname }) => `https://${EVIL}/?https://${host}${pathname}`,
  ({ host, pathname }) => `https://${EVIL}/#https://${host}${pathname}`,
  ({ host, pathname }) => `https://${EVIL}/https://${host}${pathname}`,
  ({ host, pathname }) => `https://${EVIL}\\.${host}${pathname}`,
  ({ host, pathname }) => `https://${host.replace('.', '\u3002')}${pathname}`,
  ({ host, pathname }) => `https://${host.replace('c', '\u0441')}${pathname}`,
  ({ host, pathname }) => `https://${host}\u200b${pathname}`,
  ({ pathname }) => pathname,
  ({ pathname }) => `https://*${pathname}`,
  ({ pathname }, draw) => `https://192.0.2.${draw.whole(256)}${pathname}`,
  (_, draw) => `https://${EVIL}/${draw.whole(1e9)}`,
  () => '',
  () => 'null',
  () => 'about:blank',
]

/** B1: URLs that look like `uri` and are not it. */
export function nearMisses(uri: string, count: number): string[] {
  const url = new URL(uri)
  return distinct(count, (draw, index) => {
    const make = NEAR_MISSES[index % NEAR_MISSES.length] ?? NEAR_MISSES[0]
    const once = make?.(url, draw) ?? ''
    if (index < NEAR_MISSES.length) return once
    const at = draw.whole(once.length + 1)
    return draw.whole(2) === 0
      ? `${once}${draw.pick(['x', '/', '%', '..', '\u202e', '&code=1'])}${draw.whole(1e6)}`
      : `${once.slice(0, at)}${draw.pick(['@', '\\', '%00', '\u2028', '*', '\r', '..'])}${once.slice(at)}`
  }).filter((text) => text !== uri)
}

const SCHEMES = (
  'javascript data file blob vbscript about ftp ws wss http mailto tel sms intent view-source ' +
  'filesystem chrome chrome-extension moz-extension resource jar gopher ldap telnet ssh git smb ms-msdt ' +
  'ms-settings search-ms itms-services market steam slack zoommtg app x-evil web+evil postern feed'
).split(' ')

/** B2: URLs that no browser and no person may be handed. */
export function badSchemes(count: number): string[] {
  const forms: readonly ((scheme: string, draw: Draw) => string)[] = [
    (scheme) => `${scheme}:alert(1)//https://client.example/cb`,
    (scheme) => `${scheme}://client.example/cb`,
    (scheme) => `${scheme.toUpperCase()}:x`,
    (scheme) => ` ${scheme}://client.example/cb`,
    (scheme) => `${scheme.slice(0, 2)}\t${scheme.slice(2)}://client.example/cb`,
    (scheme) => `${scheme}\n:x`,
    (scheme, draw) => `${scheme}:${draw.whole(1e9)}`,
    (scheme) => `\u0001${scheme}://client.example/cb`,
  ]
  return distinct(count, (draw, index) => {
    const scheme = SCHEMES[index % SCHEMES.length] ?? 'javascript'
    const form = index < SCHEMES.length ? forms[index % 2] : draw.pick(forms)
    return form?.(scheme, draw) ?? ''
  })
}

/** Values of another type or size than any member of a document has. */
export const ODD_VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  1e308,
  Number.MAX_SAFE_INTEGER + 2,
  '',
  ' ',
  '\0',
  '\ud800',
  '\u202e',
  'x'.repeat(20_000),
  [],
  [[]],
  [null],
  {},
  { length: 1, 0: 'x' },
  { toString: 'x' },
  { valueOf: 'x' },
  [{ __proto__: null }],
  ['x', 'x'],
]

/**
 * B9: texts and bytes made of a good document. Each is broken, or has a member of another type, or one
 * that must mean nothing.
 */
export function hostileJson(good: Readonly<Record<string, unknown>>, count: number): Uint8Array[] {
  const draw = createDraw()
  const text = JSON.stringify(good)
  const inner = text.slice(1, -1)
  const [member = 'x'] = Object.keys(good)
  const fixed: readonly (string | Uint8Array)[] = [
    // Two readings of one text come first: no run does without them.
    `{"${member}":1,${inner}}`,
    `{${inner},"${member}":1}`,
    '',
    ' ',
    '{',
    '}',
    '[]',
    'null',
    'true',
    '1',
    '"x"',
    `${text}x`,
    `${text}${text}`,
    `${text}\0`,
    `[${text}]`,
    `\ufeff${text}`,
    `${text},`,
    `{${inner},}`,
    `{${inner},"__proto__":{"polluted":true}}`,
    `{${inner},"__proto__":{"__proto__":{"polluted":true}}}`,
    `{${inner},"constructor":{"prototype":{"polluted":true}}}`,
    `{"__proto__":${text}}`,
    `{${inner},"toString":1,"valueOf":1,"hasOwnProperty":1}`,
    `{${inner},"x":1e400}`,
    `{${inner},"x":-0}`,
    `{${inner},"x":NaN}`,
    `{${inner},"x":01}`,
    `{${inner},"x":'y'}`,
    `{${inner},/* x */"x":1}`,
    `{${inner},"x":"\\ud800"}`,
    `{${inner},"x":"\\x41"}`,
    `{${inner},"x":"a\nb"}`,
    `{${inner},"x":${'['.repeat(50)}${']'.repeat(50)}}`,
    `{${inner},"x":${'['.repeat(7_000)}${']'.repeat(7_000)}}`,
    `${'{"a":'.repeat(3_000)}1${'}'.repeat(3_000)}`,
    `{${inner},"x":"${'y'.repeat(300_000)}"}`,
    `{${inner},${Array.from({ length: 900 }, (_, at) => `"m${at}":1`).join(',')}}`,
    Buffer.from(text, 'utf16le'),
    Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
    Buffer.from([0xed, 0xa0, 0x80]),
    Buffer.from([0]),
  ]
  const names = Object.keys(good)
  const encoder = new TextEncoder()
  return Array.from({ length: count }, (_, index) => {
    const one = fixed[count < fixed.length && index > 1 ? draw.whole(fixed.length) : index]
    if (one !== undefined && (count >= fixed.length || index < 2 || draw.whole(2) === 0))
      return typeof one === 'string' ? encoder.encode(one) : new Uint8Array(one)
    if (draw.whole(3) === 0) {
      const at = draw.whole(text.length)
      return encoder.encode(text.slice(0, at) + draw.pick([...'"{}[]:,\\0\0']) + text.slice(at + 1))
    }
    const changed = { ...good, [draw.pick(names)]: draw.pick(ODD_VALUES) }
    return encoder.encode(JSON.stringify(changed))
  })
}

const MARKUP: readonly string[] = [
  '<script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  '<svg onload=alert(1)>',
  '"><script>alert(1)</script>',
  "'><script>alert(1)</script>",
  '" onmouseover="alert(1)',
  "' onfocus='alert(1)' autofocus='",
  '` onload=`alert(1)',
  '</title><script>alert(1)</script>',
  '</style><script>alert(1)</script>',
  '</textarea><script>alert(1)</script>',
  '<!--<script>alert(1)</script>-->',
  ']]><script>alert(1)</script>',
  '<a href="javascript:alert(1)">x</a>',
  '<iframe srcdoc="<script>alert(1)</script>">',
  '<form action=//evil.example><button>Allow</button>',
  '<base href=//evil.example>',
  '<meta http-equiv=refresh content="0;url=//evil.example">',
  '<link rel=stylesheet href=//evil.example>',
  '<math><mtext><style><img src onerror=alert(1)>',
  '&lt;script&gt;alert(1)&lt;/script&gt;',
  '&#60;script&#62;alert(1)&#60;/script&#62;',
  '\\u003cscript\\u003ealert(1)',
  '\x24{alert(1)}',
  '{{constructor.constructor("alert(1)")()}}',
  '<%= alert(1) %>',
  '<ScRiPt>alert(1)</sCrIpT>',
  '<script\n>alert(1)</script\n>',
  '<<script>alert(1)//<</script>',
  '<x onclick=alert(1)>Allow',
  'javascript:alert(1)',
  '+ADw-script+AD4-alert(1)',
]

/** B14: markup, no two the same, at most `longest` characters. Each has a mark of its own in it. */
export function markup(count: number, longest = 120): string[] {
  return distinct(count, (draw, index) => {
    const one = MARKUP[index % MARKUP.length] ?? ''
    const mark = `m${index}`
    return index < MARKUP.length
      ? one
      : `${draw.pick(['', mark, '"', "'", '>'])}${one}${draw.pick(['', mark, '<', '&'])}`
  }).filter((text) => text.length <= longest)
}

/**
 * What a page made of escaped text cannot hold: an element, an attribute or an address that only the
 * input could have brought.
 */
export function findMarkup(html: string): string | undefined {
  const elements = [...html.matchAll(/<([a-z!/][^\s>]*)((?:"[^"]*"|'[^']*'|[^"'>])*)>/gi)]
  for (const [whole, name = '', attributes = ''] of elements) {
    if (/^(script|iframe|base|object|embed|math|mtext|x|textarea)$/i.test(name)) return whole
    if (/^!--/.test(name)) return whole
    if (/^img$/i.test(name) && /onerror|src=x/i.test(attributes)) return whole
    // Values are in double quotes on our pages; what is left are names.
    const names = attributes.replace(/"[^"]*"/g, '""')
    if (/(?:^|\s|")on[a-z]+\s*=/i.test(names)) return whole
    if (
      /(?:href|src|action|content)="[^"]*(?:javascript:|data:|\/\/evil\.example)/i.test(attributes)
    )
      return whole
  }
  return undefined
}

const CODE_POINTS: readonly string[] = [
  '\u202e',
  '\u202d',
  '\u2066',
  '\u2069',
  '\u200b',
  '\u200d',
  '\u2060',
  '\ufeff',
  '\u00ad',
  '\u0000',
  '\u0007',
  '\u001b[31m',
  '\u0085',
  '\u2028',
  '\u2029',
  '\ud800',
  '\udc00',
  '\ud83d\ude00',
  '\u{10ffff}',
  '\u{e0041}',
  '\u0430',
  '\u0301'.repeat(30),
  '\uff21',
  '\u212a',
  '\u3164',
  '\u115f',
  '\r\n',
  '\t',
  '\ufffd',
  '\ufffe',
]

/** B22: names with code points that hide, turn, join or break. */
export function oddTexts(count: number): string[] {
  return distinct(count, (draw, index) => {
    const one = CODE_POINTS[index % CODE_POINTS.length] ?? ''
    const more = index < CODE_POINTS.length ? '' : draw.pick(CODE_POINTS)
    return draw.pick([`Cla${one}ude${more}`, `${one}Claude${more}`, `Claude${more}${one}`])
  })
}

/** What must not reach a page: controls, bidi, zero width, tags, halves of a pair. */
export const UNSAFE_TEXT =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e007f}]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/u

/** B23: what no time may be. `now` in seconds. */
export function oddTimes(now: number): readonly unknown[] {
  return [
    now + 3_600,
    now + 86_400,
    now - 86_400,
    null,
    true,
    '',
    'soon',
    String(now + 60),
    `${now + 60}`.padStart(12, '0'),
    [now + 60],
    { seconds: now + 60 },
    -1,
    -now,
    0,
    1,
    now * 1_000,
    (now + 60) * 1_000,
    1e15,
    1e21,
    1e308,
    Number.MAX_SAFE_INTEGER,
    -1e308,
    0.1,
    '1e10',
    'Infinity',
    'NaN',
    '2026-01-01T00:00:00Z',
    `${now + 60} `,
    `0x${(now + 60).toString(16)}`,
  ]
}
