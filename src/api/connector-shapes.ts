/** Fields of connectors as they are written and as they are shown. Secrets go in and never come out. */
import { z } from 'zod'
import { AUTH_METHODS } from '../config/connector-oauth.ts'
import { AUTH } from '../config/connectors.ts'
import { CLAIM_NAMES } from '../config/fields.ts'
import { ConnectorName, Time, Url } from './shapes.ts'

const LIST_MAX = 200
const texts = (maxChars = 256) => z.array(z.string().min(1).max(maxChars)).max(LIST_MAX)
const Path = z
  .string()
  .max(256)
  .meta({ examples: ['/mcp/notes'] })

const Allow = z.union([
  z.literal('anyone'),
  z.strictObject({
    emails: texts().optional(),
    emailDomains: texts().optional(),
    users: texts(512).optional(),
    groups: texts().optional(),
    roles: texts().optional(),
    githubOrganizations: texts().optional(),
    githubTeams: texts().optional(),
    entraTenants: texts().optional(),
  }),
])

const Scope = z.strictObject({
  title: z.string().max(256).optional(),
  tools: texts().optional(),
  methods: texts().optional(),
  implies: texts().optional(),
  upstream: z.record(z.string(), texts()).optional(),
})

const Header = z.strictObject({
  name: z.string().min(1).max(128).optional(),
  value: z.string().min(1).max(8192).optional().meta({ writeOnly: true }),
})
const Client = z.strictObject({
  clientId: z.string().min(1).max(2048).optional(),
  clientSecret: z.string().min(1).max(8192).optional().meta({ writeOnly: true }),
  authMethod: z.enum(AUTH_METHODS).optional(),
})

const FIELDS = {
  url: Url.describe('The MCP endpoint, of a public server.'),
  preset: z.string().max(64).describe('A known server in the place of `url`.'),
  auth: z.enum(AUTH),
  header: Header,
  path: Path.describe('Public path; default `/mcp/<name>`.'),
  routes: z.strictObject({ protected: texts().optional(), public: texts().optional() }),
  allow: Allow,
  claims: z.array(z.enum(CLAIM_NAMES)).max(CLAIM_NAMES.length),
  scopes: z.record(z.string(), Scope),
  maxAuthAgeSeconds: z.int().min(0),
  acrValues: texts(),
  client: Client,
  requestedScopes: texts(),
  pinnedIssuer: Url,
  endpoints: z.strictObject({
    authorization: Url,
    token: Url,
    registration: Url.optional(),
    revocation: Url.optional(),
  }),
  omitResource: z.boolean(),
  strictResource: z.boolean(),
  legacyDiscovery: z.boolean(),
  followMetadataRedirects: z.boolean(),
  title: z.string().max(256),
  description: z.string().max(2048),
  enabled: z.boolean(),
}

export const ConnectorInput = z
  .strictObject(FIELDS)
  .partial()
  .meta({ id: 'ConnectorInput', examples: [{ url: 'https://notes.example/mcp', auth: 'oauth' }] })

/** RFC 7396: a member that is `null` is taken away; those that are absent stay. */
export const ConnectorPatch = z
  .strictObject({
    ...nullable({ ...FIELDS, endpoints: FIELDS.endpoints.partial() }),
    header: z.strictObject(nullable(Header.shape)).nullable(),
    client: z.strictObject(nullable(Client.shape)).nullable(),
    routes: z.strictObject(nullable(FIELDS.routes.shape)).nullable(),
  })
  .partial()
  .meta({ id: 'ConnectorPatch', examples: [{ title: 'Notes' }] })

function nullable(shape: Readonly<Record<string, z.ZodType>>): Record<string, z.ZodType> {
  return Object.fromEntries(
    Object.entries(shape).map(([name, schema]) => [
      name,
      (schema instanceof z.ZodOptional ? (schema.unwrap() as z.ZodType) : schema)
        .nullable()
        .optional(),
    ]),
  )
}

const ConnectorProblem = z.object({
  party: z.enum(['server', 'authorization-server', 'here']),
  code: z.string(),
  text: z.string(),
  requirement: z.string(),
})

export const Connector = z
  .object({
    ...z.object(FIELDS).omit({ header: true, client: true }).partial().shape,
    header: Header.omit({ value: true }).optional(),
    client: Client.omit({ clientSecret: true }).optional(),
    name: ConnectorName,
    url: z.string(),
    auth: FIELDS.auth,
    resource: z.string().describe('The audience of our tokens for it.'),
    madeBy: z.enum(['file', 'api']),
    state: z.enum(['ready', 'degraded', 'unreachable', 'quarantined', 'disabled']),
    discovery: z
      .object({
        issuer: z.string(),
        ageSeconds: z.number(),
        state: z.string(),
        source: z.string(),
        checkedAt: Time,
      })
      .optional(),
    problems: z.array(ConnectorProblem),
    refusedOrigin: z.string().optional().describe('What an approval has to name.'),
  })
  .meta({ id: 'Connector' })
