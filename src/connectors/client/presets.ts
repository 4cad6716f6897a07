/**
 * Well-known remote MCP servers as data: where they are, and what is particular about being a client
 * of theirs (spec/requirements.md appendix E). What a configuration says wins over its preset.
 *
 * A row stands here only with the page on which its operator, or the report of a fault that it works
 * around, says so. `docs/connectors.md` is generated from these rows.
 */
export interface Preset {
  /** What `connectors.<name>.preset` says. */
  readonly name: string
  readonly title: string
  /** The MCP endpoint, as its operator documents it. */
  readonly url: string
  /** The operator's page about it. */
  readonly source: string
  /**
   * `by-hand`: nobody registers there without its operator, so `client` has to be configured.
   * `discovered`: whatever its authorization server advertises.
   */
  readonly registration: 'by-hand' | 'discovered'
  /** Where a client is registered by hand. */
  readonly registerAt?: string
  /** Its metadata names this issuer, from another place than RFC 8414 section 3.3 allows (DSC-08). */
  readonly pinnedIssuer?: string
  /** Documented, where its discovery document names others. */
  readonly endpoints?: { readonly authorization: string; readonly token: string }
  /** Of the client registered by hand, where nothing is discovered that says it. */
  readonly authMethod?: 'client_secret_basic' | 'client_secret_post'
  /** Refuses `resource` (CLI-07). */
  readonly omitResource?: true
  /** Where its token answers deviate: the member that they stand in, what they call a bearer token. */
  readonly answer?: { readonly member: string; readonly tokenType: string }
  /** What the fields above are about, for people; with the report where it is one. */
  readonly note?: string
  readonly noteSource?: string
}

export const PRESETS: readonly Preset[] = [
  {
    name: 'atlassian',
    title: 'Atlassian (Jira, Confluence)',
    url: 'https://mcp.atlassian.com/v2/mcp',
    source: 'https://github.com/atlassian/atlassian-mcp-server',
    registration: 'discovered',
    pinnedIssuer: 'https://auth.atlassian.com',
    note: 'Its resource names an authorization server with a path, whose metadata leaves the path out.',
    noteSource: 'https://github.com/atlassian/atlassian-mcp-server/issues/205',
  },
  {
    name: 'azure-devops',
    title: 'Azure DevOps',
    url: 'https://mcp.dev.azure.com/',
    source: 'https://learn.microsoft.com/azure/devops/mcp-server/remote-mcp-server',
    registration: 'by-hand',
    registerAt: 'https://entra.microsoft.com',
    omitResource: true,
    note: 'Microsoft Entra ID is its authorization server: no registration, no `resource`.',
  },
  {
    name: 'cloudflare',
    title: 'Cloudflare',
    url: 'https://mcp.cloudflare.com/mcp',
    source: 'https://github.com/cloudflare/mcp',
    registration: 'discovered',
  },
  {
    name: 'cloudflare-bindings',
    title: 'Cloudflare Workers bindings',
    url: 'https://bindings.mcp.cloudflare.com/mcp',
    source: 'https://github.com/cloudflare/mcp-server-cloudflare',
    registration: 'discovered',
  },
  {
    name: 'cloudflare-builds',
    title: 'Cloudflare Workers builds',
    url: 'https://builds.mcp.cloudflare.com/mcp',
    source: 'https://github.com/cloudflare/mcp-server-cloudflare',
    registration: 'discovered',
  },
  {
    name: 'cloudflare-observability',
    title: 'Cloudflare observability',
    url: 'https://observability.mcp.cloudflare.com/mcp',
    source: 'https://github.com/cloudflare/mcp-server-cloudflare',
    registration: 'discovered',
  },
  {
    name: 'github',
    title: 'GitHub',
    url: 'https://api.githubcopilot.com/mcp/',
    source: 'https://github.com/github/github-mcp-server/blob/main/docs/remote-server.md',
    registration: 'by-hand',
    registerAt: 'https://github.com/settings/developers',
    note: 'No dynamic registration: make a GitHub App or an OAuth app.',
    noteSource: 'https://github.com/github/github-mcp-server/blob/main/docs/host-integration.md',
  },
  {
    name: 'linear',
    title: 'Linear',
    url: 'https://mcp.linear.app/mcp',
    source: 'https://linear.app/docs/mcp',
    registration: 'discovered',
  },
  {
    name: 'notion',
    title: 'Notion',
    url: 'https://mcp.notion.com/mcp',
    source: 'https://developers.notion.com/docs/mcp',
    registration: 'discovered',
    note: 'Resource metadata at the root only; the form with the path answers 401 or 404.',
  },
  {
    name: 'pagerduty',
    title: 'PagerDuty',
    url: 'https://mcp.pagerduty.com/mcp',
    source: 'https://github.com/PagerDuty/pagerduty-mcp-server',
    registration: 'discovered',
    pinnedIssuer: 'https://app.pagerduty.com/global/oauth/anonymous',
    note: 'Its resource names its own host, whose metadata names another issuer.',
    noteSource: 'https://github.com/PagerDuty/pagerduty-mcp-server/issues/169',
  },
  {
    name: 'sentry',
    title: 'Sentry',
    url: 'https://mcp.sentry.dev/mcp',
    source: 'https://docs.sentry.io/product/sentry-mcp/',
    registration: 'discovered',
    note: 'Takes its origin and its path as `resource`; the canonical URL is sent.',
  },
  {
    name: 'slack',
    title: 'Slack',
    url: 'https://mcp.slack.com/mcp',
    source: 'https://docs.slack.dev/ai/slack-mcp-server',
    registration: 'by-hand',
    registerAt: 'https://api.slack.com/apps',
    pinnedIssuer: 'https://slack.com',
    endpoints: {
      authorization: 'https://slack.com/oauth/v2_user/authorize',
      token: 'https://slack.com/api/oauth.v2.user.access',
    },
    authMethod: 'client_secret_post',
    answer: { member: 'authed_user', tokenType: 'user' },
    note: 'No dynamic registration; only internal apps and those of the Slack Marketplace. Its metadata names another issuer than its host.',
    noteSource: 'https://docs.slack.dev/ai/slack-mcp-server/developing',
  },
]

export function findPreset(name: string): Preset | undefined {
  return PRESETS.find((preset) => preset.name === name)
}
