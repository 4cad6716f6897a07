/**
 * How each product speaks, after its documentation: the page is named at each dialect. Only members
 * that matter to somebody are here.
 */
import type { Person } from '../../demo/doubles/people.ts'
import type { Dialect, DoubleCall, DoubleToken, Reply } from './product-double.ts'
import { CLIENT } from './provider-house.ts'

/** RFC 6749 section 5.2, as most of them do it. */
function usual(what: 'code' | 'client' | 'refresh' | 'request'): Reply {
  if (what === 'client') return { status: 401, body: { error: 'invalid_client' } }
  return { status: 400, body: { error: what === 'request' ? 'invalid_request' : 'invalid_grant' } }
}

function usualAnswer(token: DoubleToken, lifeSeconds: number): Record<string, unknown> {
  return {
    access_token: token.value,
    token_type: 'Bearer',
    expires_in: lifeSeconds,
    refresh_token: token.refreshToken,
    scope: token.scopes.join(' '),
  }
}

function revoked({ isClient, parameters, find, drop }: DoubleCall): Reply {
  if (!isClient) return { status: 401, body: { error: 'invalid_client' } }
  drop(find(parameters['token']))
  return { status: 200, body: {} }
}

/** https://discord.com/developers/docs/topics/oauth2, .../resources/user */
export const DISCORD_DIALECT: Dialect = {
  authorizePath: '/oauth2/authorize',
  tokenPath: '/api/oauth2/token',
  authentication: 'basic',
  body: 'form',
  isRotating: true,
  tokenAnswer: (token) => usualAnswer(token, 604_800),
  refusal: usual,
  routes: {
    'GET /api/v10/users/@me': ({ token }) =>
      token === undefined
        ? UNAUTHORIZED_AT_DISCORD
        : {
            status: 200,
            body: { ...discordUser(token.person), email: token.person.email, verified: true },
          },
    'GET /api/v10/oauth2/@me': ({ token }) =>
      token === undefined
        ? UNAUTHORIZED_AT_DISCORD
        : {
            status: 200,
            body: {
              application: { id: CLIENT.clientId, name: 'Postern' },
              scopes: token.scopes,
              expires: '2027-01-01T00:00:00.000000+00:00',
              user: discordUser(token.person),
            },
          },
    'POST /api/oauth2/token/revoke': revoked,
  },
}

const UNAUTHORIZED_AT_DISCORD: Reply = {
  status: 401,
  body: { message: '401: Unauthorized', code: 0 },
}

function discordUser({ id, login, name }: Person): Record<string, unknown> {
  return {
    id: `80351110224678${id}`,
    username: login,
    global_name: name,
    discriminator: '0',
    avatar: '8342729096ea3675442027381ff50dfe',
  }
}

/** https://docs.gitlab.com/api/oauth2/, https://docs.gitlab.com/api/users/ */
export const GITLAB_DIALECT: Dialect = {
  authorizePath: '/git/oauth/authorize',
  tokenPath: '/git/oauth/token',
  authentication: 'post',
  body: 'form',
  isRotating: true,
  tokenAnswer: (token) => ({ ...usualAnswer(token, 7_200), created_at: 1_607_635_748 }),
  refusal: usual,
  routes: {
    'GET /git/api/v4/user': ({ token }) =>
      token === undefined
        ? { status: 401, body: { message: '401 Unauthorized' } }
        : {
            status: 200,
            body: {
              id: token.person.id,
              username: token.person.login,
              name: token.person.name,
              state: 'active',
              email: token.person.email,
              confirmed_at: '2012-05-23T09:05:22Z',
              avatar_url: 'https://gitlab.example.com/uploads/user/avatar/1/index.jpg',
            },
          },
    'GET /git/oauth/token/info': ({ token }) =>
      token === undefined
        ? {
            status: 401,
            headers: {
              'www-authenticate':
                'Bearer realm="Doorkeeper", error="invalid_token", error_description="The access token was revoked"',
            },
            body: { error: 'invalid_token', error_description: 'The access token was revoked' },
          }
        : {
            status: 200,
            body: {
              resource_owner_id: token.person.id,
              scope: token.scopes,
              expires_in: 7_199,
              application: { uid: CLIENT.clientId },
              created_at: 1_607_635_748,
            },
          },
    'POST /git/oauth/introspect': ({ isClient, parameters, find }) => {
      if (!isClient) return { status: 401, body: { error: 'invalid_client' } }
      const token = find(parameters['token'])
      return {
        status: 200,
        body: token === undefined ? { active: false } : { active: true, scope: 'read_user' },
      }
    },
    'POST /git/oauth/revoke': revoked,
  },
}

/** https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/ */
export const ATLASSIAN_DIALECT: Dialect = {
  authorizePath: '/authorize',
  tokenPath: '/oauth/token',
  authentication: 'post',
  body: 'json',
  isRotating: true,
  tokenAnswer: (token) => usualAnswer(token, 3_600),
  refusal: (what) =>
    what === 'refresh'
      ? {
          status: 403,
          body: {
            error: 'invalid_grant',
            error_description: 'Unknown or invalid refresh token.',
          },
        }
      : usual(what),
  routes: {
    'GET /me': ({ token }) =>
      token === undefined
        ? { status: 401, body: { code: 401, message: 'Unauthorized' } }
        : {
            status: 200,
            body: {
              account_type: 'atlassian',
              account_id: `112233aa-bb11-cc22-33dd-44556600${token.person.id}`,
              email: token.person.email,
              email_verified: true,
              name: token.person.name,
              picture: 'https://avatar-cdn.atlassian.com/one.png',
              account_status: 'active',
              nickname: token.person.login,
            },
          },
  },
}

/** https://linear.app/developers/oauth-2-0-authentication, .../graphql */
export const LINEAR_DIALECT: Dialect = {
  authorizePath: '/oauth/authorize',
  tokenPath: '/oauth/token',
  authentication: 'post',
  body: 'form',
  isRotating: true,
  tokenAnswer: (token) => ({ ...usualAnswer(token, 86_399), scope: token.scopes.join(',') }),
  refusal: usual,
  routes: {
    'POST /graphql': ({ token }) =>
      token === undefined
        ? {
            status: 401,
            body: {
              errors: [
                {
                  message: 'Authentication required, not authenticated',
                  extensions: { type: 'authentication error', code: 'AUTHENTICATION_ERROR' },
                },
              ],
            },
          }
        : {
            status: 200,
            body: {
              data: {
                viewer: {
                  id: `b2c1d0e0-0000-4000-8000-00000000${token.person.id}`,
                  name: token.person.name,
                  displayName: token.person.login,
                  email: token.person.email,
                  avatarUrl: null,
                  organization: { urlKey: 'acme' },
                },
              },
            },
          },
    'POST /oauth/revoke': revoked,
  },
}

/** https://developers.notion.com/guides/get-started/authorization, https://developers.notion.com/reference/introspect-token */
export const NOTION_DIALECT: Dialect = {
  authorizePath: '/v1/oauth/authorize',
  tokenPath: '/v1/oauth/token',
  authentication: 'basic',
  body: 'json',
  isRotating: true,
  tokenAnswer: (token) => ({
    access_token: token.value,
    token_type: 'bearer',
    refresh_token: token.refreshToken,
    bot_id: 'b3414d65-1224-446a-b56f-1a1b8c9ff7c0',
    workspace_id: 'a9c1e5b4-0000-4000-8000-000000000001',
    workspace_name: 'Acme',
    owner: {
      type: 'user',
      user: {
        object: 'user',
        id: `e79a0b74-3aba-4149-9f74-0bb57916${token.person.id}`,
        name: token.person.name,
        avatar_url: 'https://secure.notion-static.com/one.jpg',
        type: 'person',
        person: { email: token.person.email },
      },
    },
    duplicated_template_id: null,
  }),
  refusal: usual,
  routes: {
    'POST /v1/oauth/introspect': ({ isClient, parameters, find }) => {
      if (!isClient) return { status: 401, body: { error: 'invalid_client' } }
      const token = find(parameters['token'])
      return {
        status: 200,
        body:
          token === undefined
            ? { active: false }
            : { active: true, scope: 'read_content', iat: 1_727_900_000 },
      }
    },
    'POST /v1/oauth/revoke': revoked,
  },
}

/** https://docs.slack.dev/reference/methods/oauth.v2.access, auth.test, users.info, auth.revoke */
export const SLACK_DIALECT: Dialect = {
  authorizePath: '/oauth/v2/authorize',
  tokenPath: '/api/oauth.v2.access',
  authentication: 'basic',
  body: 'form',
  scopeParameter: 'user_scope',
  isRotating: true,
  tokenAnswer: slackAnswer,
  refusal: (what) => ({ status: 200, body: { ok: false, error: SLACK_REFUSALS[what] } }),
  routes: {
    'POST /api/auth.test': ({ token }) =>
      token === undefined
        ? { status: 200, body: { ok: false, error: 'token_revoked' } }
        : {
            status: 200,
            body: {
              ok: true,
              url: 'https://acme.slack.com/',
              team: 'Acme',
              user: token.person.login,
              team_id: 'T0001',
              user_id: `U${token.person.id}`,
            },
          },
    'GET /api/users.info': ({ token, url }) =>
      token === undefined || url.searchParams.get('user') !== `U${token.person.id}`
        ? { status: 200, body: { ok: false, error: 'user_not_found' } }
        : {
            status: 200,
            body: {
              ok: true,
              user: {
                id: `U${token.person.id}`,
                team_id: 'T0001',
                name: token.person.login,
                is_email_confirmed: true,
                profile: {
                  real_name: token.person.name,
                  email: token.person.email,
                  image_192: 'https://avatars.slack-edge.com/one_192.jpg',
                },
              },
            },
          },
    'POST /api/auth.revoke': ({ token, drop }) => {
      drop(token)
      return token === undefined
        ? { status: 200, body: { ok: false, error: 'token_revoked' } }
        : { status: 200, body: { ok: true, revoked: true } }
    },
  },
}

const SLACK_REFUSALS = {
  code: 'invalid_code',
  client: 'bad_client_secret',
  refresh: 'invalid_refresh_token',
  request: 'invalid_form_data',
} as const

function slackAnswer(token: DoubleToken, isRefresh: boolean): unknown {
  const held = {
    access_token: token.value,
    token_type: 'user',
    scope: token.scopes.join(','),
    ...(token.refreshToken === undefined
      ? {}
      : { refresh_token: token.refreshToken, expires_in: 43_200 }),
  }
  const user = { id: `U${token.person.id}` }
  const team = { id: 'T0001', name: 'Acme' }
  return isRefresh
    ? { ok: true, ...held, team, authed_user: user }
    : { ok: true, app_id: 'A0001', authed_user: { ...user, ...held }, team, enterprise: null }
}

/** RFC 6749, RFC 7662, RFC 7009, and a userinfo as OpenID Connect Core section 5.3 has it. */
export const PLAIN_DIALECT: Dialect = {
  authorizePath: '/authorize',
  tokenPath: '/token',
  authentication: 'basic',
  body: 'form',
  isRotating: true,
  tokenAnswer: (token) => usualAnswer(token, 600),
  refusal: usual,
  routes: {
    'POST /introspect': ({ isClient, parameters, find }) => {
      if (!isClient) return { status: 401, body: { error: 'invalid_client' } }
      const token = find(parameters['token'])
      return {
        status: 200,
        body:
          token === undefined
            ? { active: false }
            : {
                active: true,
                sub: token.person.login,
                username: token.person.login,
                scope: token.scopes.join(' '),
              },
      }
    },
    'GET /userinfo': ({ token }) =>
      token === undefined
        ? { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } }
        : {
            status: 200,
            body: {
              sub: token.person.login,
              id: token.person.id,
              name: token.person.name,
              preferred_username: token.person.login,
              email: token.person.email,
              email_verified: true,
            },
          },
    'POST /revoke': revoked,
  },
}
