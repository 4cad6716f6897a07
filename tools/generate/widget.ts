/**
 * Writes `src/connectors/embedded/widget-bundle.ts`: `src/widget/` as one module text with its entity
 * tag. White space and comments are left out, names stay as they are: a reader of `/widget.js` can
 * still follow it.
 */
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

export const path = 'src/connectors/embedded/widget-bundle.ts'

const ENTRY = fileURLToPath(new URL('../../src/widget/index.ts', import.meta.url))
const ETAG_CHARACTERS = 22

export async function generate(): Promise<string> {
  const code = await bundleWidget()
  const digest = createHash('sha256').update(code).digest('base64url').slice(0, ETAG_CHARACTERS)
  return `/** \`src/widget/\` as one module. Generated: \`npm run fix\` writes it again. */
export const WIDGET_ETAG = ${JSON.stringify(`"${digest}"`)}
export const WIDGET_SCRIPT = ${JSON.stringify(code)}
`
}

async function bundleWidget(): Promise<string> {
  const bundle = await rolldown({ input: ENTRY, platform: 'browser', treeshake: true })
  try {
    const { output } = await bundle.generate({
      format: 'esm',
      codeSplitting: false,
      comments: false,
      minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
    })
    return squeezeStyle(output[0].code)
  } finally {
    await bundle.close()
  }
}

/** The style sheet is text: its line ends and indents are left out here. */
function squeezeStyle(code: string): string {
  return code.replace(/`\n:host[^`]*`/, (style) => style.replace(/\s*\n\s*/g, ''))
}
