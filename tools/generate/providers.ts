/** Writes `docs/providers.md` from the provider types themselves: what each takes and what is true of it. */
import { environmentName } from '../../src/config/fields.ts'
import { PROVIDER_TYPES } from '../../src/providers/index.ts'
import {
  type ProviderFacts,
  type ProviderOption,
  type ProviderType,
  usualId,
} from '../../src/providers/provider.ts'

export const path = 'docs/providers.md'

const FACTS: Readonly<Record<keyof ProviderFacts, string>> = {
  endpoints: 'endpoints',
  clientAuthentication: 'client authentication',
  scopeSeparator: 'scope separator',
  pkce: 'PKCE',
  tokenFormat: 'token format',
  accessLife: 'life of the access token',
  refresh: 'refresh',
  check: 'proof, one call',
  definiteNo: 'a definite no',
  secondOpinion: 'second opinion',
  rateLimits: 'limits',
  revocation: 'revocation',
  events: 'events',
}

export function generate(): string {
  return `# Providers

Generated from \`src/providers/\`; \`npm run fix\` writes it again.

Who people sign in with. Every provider takes \`id\` (default: its type, \`github-app\` for \`githubApp\`), \`title\`, \`clientId\`, \`clientSecret\`, \`scopes\` and \`callbackPath\` (default \`/callback/<id>\`). Credentials come from \`POSTERN_<ID>_CLIENT_ID\` and \`POSTERN_<ID>_CLIENT_SECRET\` before the file.

| type | field | default | environment | meaning |
|---|---|---|---|---|
${PROVIDER_TYPES.flatMap(optionRows).join('\n')}

## What is true of each

In brackets the section or page that says so: an RFC, OpenID Connect, or the provider's own documentation. Proof: \`test/contract/\` (\`providers\`, \`openid-products\`, \`oauth-products\`, \`github-refresh\`), \`src/providers/*.test.ts\`, and a real Keycloak in \`test/long/keycloak.test.ts\`.

${PROVIDER_TYPES.map(chapter).join('\n\n')}
`
}

function optionRows({ type, options }: ProviderType): readonly string[] {
  return options.map(
    (option) =>
      `| \`${type}\` | \`${option.name}\` | ${initial(option)} | ${variable(type, option)} | ${option.sentence} |`,
  )
}

function initial(option: ProviderOption): string {
  return option.required === true ? 'required' : (option.default ?? 'none')
}

function variable(type: string, { environmentSuffix }: ProviderOption): string {
  return environmentSuffix === undefined
    ? 'file only'
    : `\`${environmentName(usualId(type))}_${environmentSuffix}\``
}

function chapter({ type, title, setUp, facts }: ProviderType): string {
  const rows = Object.entries(FACTS).map(
    ([name, label]) => `| ${label} | ${facts[name as keyof ProviderFacts]} |`,
  )
  const words = setUp === undefined ? '' : `${setUp}\n\n`
  return `### ${title} (\`${type}\`)\n\n${words}| | |\n|---|---|\n${rows.join('\n')}`
}
