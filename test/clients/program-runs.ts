/**
 * Running finished client programs: a home folder of their own with a browser in it, and the MCP
 * Inspector's command line, one process per command.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runProcess } from '../kit/process.ts'
import type { ProgramPaths } from '../kit/programs.ts'

export const RUN_DEADLINE_MS = 90_000
const BROWSER_PROGRAM = fileURLToPath(new URL('browser-program.ts', import.meta.url))

export interface Home {
  readonly folder: string
  readonly env: Readonly<Record<string, string>>
  /** Addresses that the program sent the person to. */
  visits(): Promise<readonly URL[]>
  remove(): Promise<void>
}

export async function openHome(): Promise<Home> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-program-'))
  const browser = join(folder, 'browser')
  const visits = join(folder, 'visits')
  const script = `#!/bin/sh\nexec "${process.execPath}" "${BROWSER_PROGRAM}" "$1" 2>>"${visits}.errors"\n`
  await writeFile(browser, script, { mode: 0o755 })
  await writeFile(visits, '')
  return {
    folder,
    env: { HOME: folder, BROWSER: browser, VISITS: visits, NO_COLOR: '1' },
    async visits() {
      const lines = (await readFile(visits, 'utf8')).split('\n')
      return lines.filter((line) => line !== '').map((line) => new URL(line))
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

/** The result of one command. @throws With what the program said when it ends with a failure. */
export async function runInspector(
  paths: ProgramPaths,
  home: Home,
  asked: readonly string[],
): Promise<unknown> {
  const answer = join(home.folder, 'answer.json')
  const { code, output } = await runProcess({
    name: 'mcp-inspector --cli',
    command: process.execPath,
    args: [paths['mcp-inspector'], '--cli', ...asked, '--output', answer],
    cwd: home.folder,
    // Nobody sits at a terminal here, and a keychain would be the machine's own.
    env: { ...home.env, MCP_AUTO_OPEN_ENABLED: 'true', MCP_INSPECTOR_SECRET_STORE: 'file' },
    deadlineMs: RUN_DEADLINE_MS,
  })
  if (code !== 0) throw new Error(`mcp-inspector ended with ${code}:\n${output.slice(-4_000)}`)
  return JSON.parse(await readFile(answer, 'utf8'))
}

/** What it keeps of secrets; its file holds JSON texts inside JSON. */
export async function inspectorSecrets(home: Home): Promise<string> {
  const text = await readFile(join(home.folder, '.mcp-inspector/secrets.json'), 'utf8')
  return text.replaceAll('\\"', '"')
}

export interface Named {
  readonly name: string
}

export function namesOf(tools: readonly Named[]): readonly string[] {
  return tools.map(({ name }) => name).sort()
}

/** Text of a tool's answer. */
export function textOf(result: unknown): string {
  const { content } = result as { content: readonly { readonly text?: string }[] }
  return content[0]?.text ?? ''
}
