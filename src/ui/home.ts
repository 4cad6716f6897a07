/**
 * The home page: the servers this person may use, each with its URL and the command or link for
 * each client (api.md section 5). The commands quote names and URLs of the configuration only.
 */
import { html, raw } from 'hono/html'
import { type Markup, type PageHouse, page } from './layout.ts'
import { shownText } from './text.ts'

export interface HomeServer {
  readonly name: string
  readonly url: string
  readonly title?: string
  readonly description?: string
  /** The account that this server needs of the person. */
  readonly connection?: {
    readonly state: 'active' | 'reconnect' | 'none'
    readonly label?: string
    readonly path: string
  }
}

export interface Home {
  readonly account?: { readonly label: string; readonly detail?: string }
  readonly servers: readonly HomeServer[]
  readonly logoutPath: string
  readonly accountPath: string
  /** Absent where no server needs an account elsewhere. */
  readonly connectPath?: string
  readonly configPath: string
}

export function homePage(house: PageHouse, home: Home): Markup {
  const content = html`<div class="row">
<div>
<h1>${home.servers.length === 1 ? 'Your server' : 'Your servers'}</h1>
<p class="lead">${home.servers.length === 0 ? 'No server is open to this account yet.' : 'Add one to your client. It asks you to sign in once.'}</p>
</div>
${home.account === undefined ? '' : account(home.account, home)}
</div>
<div class="servers">${home.servers.map((server, index) => serverCard(server, index === 0))}</div>
${home.servers.length < 2 ? '' : html`<p class="lead small"><a href="${home.configPath}">mcp.json</a> with all of them.</p>`}`
  return page(house, { title: 'Your servers', wide: true }, content)
}

function account(
  account: { label: string; detail?: string },
  paths: Pick<Home, 'logoutPath' | 'accountPath' | 'connectPath'>,
): Markup {
  return html`<form class="row" method="post" action="${paths.logoutPath}">
<span class="small"><span class="muted">Signed in as</span> ${shownText(account.label)} <a href="${paths.accountPath}">Your account</a>${paths.connectPath === undefined ? '' : html` <a href="${paths.connectPath}">Connections</a>`}</span>
<button class="button inline">Sign out</button>
</form>`
}

function serverCard(server: HomeServer, first: boolean): Markup {
  const [lead, ...others] = installations(server)
  const title = shownText(server.title) || server.name
  return html`<section class="card list">
<div>
<h2>${title}</h2>
${server.description === undefined ? '' : html`<p class="muted small">${shownText(server.description, 200)}</p>`}
</div>
${server.connection === undefined ? '' : connection(server.connection, title)}
<code class="copy">${server.url}</code>
${lead === undefined ? '' : installation(lead, first)}
${others.map((entry) => installation(entry, false))}
</section>`
}

const CONNECTION_WORDS = {
  none: ['Needs your account there.', 'Connect', 'primary'],
  reconnect: ['Your account there has to be connected again.', 'Reconnect', 'primary'],
  active: ['Connected to your account there.', 'Change', ''],
} as const

function connection(
  { state, label, path }: NonNullable<HomeServer['connection']>,
  title: string,
): Markup {
  const [words, verb, style] = CONNECTION_WORDS[state]
  return html`<div class="row">
<p class="small">${words}${label === undefined ? '' : html` <span class="muted">${shownText(label)}</span>`}</p>
<a class="button inline ${style}" href="${path}" aria-label="${verb}: ${title}">${verb}</a>
</div>`
}

interface Installation {
  readonly client: string
  readonly text?: string
  readonly command?: string
  readonly link?: string
}

function installation(entry: Installation, open: boolean): Markup {
  return html`<details${open ? raw(' open') : ''}>
<summary>${entry.client}</summary>
${entry.text === undefined ? '' : html`<p class="small muted">${entry.text}</p>`}
${entry.link === undefined ? '' : html`<a class="button inline" href="${entry.link}">Install in ${entry.client}</a>`}
${entry.command === undefined ? '' : html`<code class="copy">${entry.command}</code>`}
</details>`
}

function installations(server: HomeServer): readonly Installation[] {
  const entry = { type: 'http', url: server.url }
  const named = JSON.stringify({ name: server.name, ...entry })
  const file = JSON.stringify({ mcpServers: { [server.name]: entry } }, null, 2)
  const cursor = new URLSearchParams({
    name: server.name,
    config: btoa(JSON.stringify({ url: server.url })),
  })
  return [
    {
      client: 'Claude Code',
      command: `claude mcp add --transport http ${server.name} ${server.url}`,
    },
    {
      client: 'Claude, ChatGPT and other web apps',
      text: 'Settings, Connectors, add a custom connector with this URL:',
      command: server.url,
    },
    {
      client: 'VS Code',
      link: `vscode:mcp/install?${encodeURIComponent(named)}`,
      command: `code --add-mcp '${named}'`,
    },
    { client: 'Cursor', link: `cursor://anysphere.cursor-deeplink/mcp/install?${cursor}` },
    { client: 'Codex', command: `codex mcp add ${server.name} --url ${server.url}` },
    { client: 'Any other client', text: 'In its mcp.json or settings file:', command: file },
  ]
}
