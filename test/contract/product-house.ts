/** Houses of the products with plain OAuth, each over a double that speaks its dialect. */
import { atlassianProduct } from '../../src/providers/atlassian.ts'
import { discordProduct } from '../../src/providers/discord.ts'
import { gitLabProduct } from '../../src/providers/gitlab.ts'
import { linearProduct } from '../../src/providers/linear.ts'
import { notionProduct } from '../../src/providers/notion.ts'
import { createOAuth2 } from '../../src/providers/oauth2.ts'
import { createOAuthProvider } from '../../src/providers/oauth2-engine.ts'
import type { OAuthProduct } from '../../src/providers/oauth2-product.ts'
import type { Provider, ProviderSettings } from '../../src/providers/provider.ts'
import { slackProduct } from '../../src/providers/slack.ts'
import { createTestRuntime } from '../kit/runtime.ts'
import * as dialects from './product-dialects.ts'
import { type Dialect, type ProductDouble, startProductDouble } from './product-double.ts'
import { createHouse, type House, settings } from './provider-house.ts'

export type ProductHouse = House<ProductDouble>

interface HouseOptions extends Partial<ProviderSettings> {
  /** Members of the dialect that this test has otherwise. */
  readonly dialect?: Partial<Dialect>
}

async function start(
  dialect: Dialect,
  checkEndpoint: string,
  options: HouseOptions,
  create: (origin: string) => Provider,
): Promise<ProductHouse> {
  const runtime = createTestRuntime({ startMs: Date.now() })
  const spoken = { ...dialect, ...options.dialect }
  const double = await startProductDouble(spoken)
  return createHouse<ProductDouble>(double, create(double.origin), runtime, {
    checkEndpoint,
    tokenEndpoint: `POST ${spoken.tokenPath}`,
  })
}

function made(product: OAuthProduct, options: HouseOptions): Provider {
  return createOAuthProvider(product, { ...settings(product.type, options), options: {} })
}

export function discordHouse(options: HouseOptions = {}): Promise<ProductHouse> {
  return start(dialects.DISCORD_DIALECT, 'GET /api/v10/oauth2/@me', options, (origin) =>
    made(discordProduct(origin), options),
  )
}

/** Self-managed, below a path of its host. */
export function gitLabHouse(options: HouseOptions = {}): Promise<ProductHouse> {
  return start(dialects.GITLAB_DIALECT, 'GET /git/oauth/token/info', options, (origin) =>
    made(gitLabProduct(`${origin}/git`), options),
  )
}

export function atlassianHouse(options: HouseOptions = {}): Promise<ProductHouse> {
  return start(dialects.ATLASSIAN_DIALECT, 'GET /me', options, (origin) =>
    made(atlassianProduct({ issuer: origin, api: origin }), options),
  )
}

export function linearHouse(
  options: HouseOptions & { workspace?: string } = {},
): Promise<ProductHouse> {
  return start(dialects.LINEAR_DIALECT, 'POST /graphql', options, (origin) =>
    made(linearProduct(options.workspace, { site: origin, api: origin }), options),
  )
}

export function notionHouse(
  options: HouseOptions & { workspace?: string } = {},
): Promise<ProductHouse> {
  return start(dialects.NOTION_DIALECT, 'POST /v1/oauth/introspect', options, (origin) =>
    made(notionProduct(options.workspace, origin), options),
  )
}

export function slackHouse(options: HouseOptions & { team?: string } = {}): Promise<ProductHouse> {
  return start(dialects.SLACK_DIALECT, 'POST /api/auth.test', options, (origin) =>
    made(slackProduct(options.team, origin), options),
  )
}

/** The generic type. `ask`: which of its two doors it is given. */
export function oauth2House(
  options: HouseOptions & { ask: 'introspection' | 'userinfo' | 'both' },
): Promise<ProductHouse> {
  const checkEndpoint = options.ask === 'userinfo' ? 'GET /userinfo' : 'POST /introspect'
  return start(dialects.PLAIN_DIALECT, checkEndpoint, options, (origin) =>
    createOAuth2({
      ...settings('oauth2', options),
      options: {
        issuer: 'https://id.corp.example',
        authorizationUrl: `${origin}/authorize`,
        tokenUrl: `${origin}/token`,
        revocationUrl: `${origin}/revoke`,
        ...(options.ask === 'userinfo' ? {} : { introspectionUrl: `${origin}/introspect` }),
        ...(options.ask === 'introspection' ? {} : { userinfoUrl: `${origin}/userinfo` }),
        ...options.options,
      },
    }),
  )
}
