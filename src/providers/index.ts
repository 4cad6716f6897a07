/** The sign-in providers of this house. Adding one: its file, its test, one line here, one row in docs/providers.md. */

import { ATLASSIAN } from './atlassian.ts'
import { AUTH0 } from './auth0.ts'
import { COGNITO } from './cognito.ts'
import { DISCORD } from './discord.ts'
import { ENTRA } from './entra.ts'
import { GITHUB } from './github.ts'
import { GITHUB_APP } from './github-app.ts'
import { GITLAB } from './gitlab.ts'
import { GOOGLE } from './google.ts'
import { KEYCLOAK } from './keycloak.ts'
import { LINEAR } from './linear.ts'
import { NOTION } from './notion.ts'
import { OAUTH2 } from './oauth2.ts'
import { OIDC } from './oidc.ts'
import { OKTA } from './okta.ts'
import type { ProviderType } from './provider.ts'
import { SLACK } from './slack.ts'
import { SUPABASE } from './supabase.ts'
import { WORKOS } from './workos.ts'

export { atlassian } from './atlassian.ts'
export { type Auth0Options, auth0 } from './auth0.ts'
export { type CognitoOptions, cognito } from './cognito.ts'
export { discord } from './discord.ts'
export { type EntraOptions, entra } from './entra.ts'
export { type GitHubOptions, github } from './github.ts'
export { githubApp } from './github-app.ts'
export { type GitLabOptions, gitlab } from './gitlab.ts'
export { type GoogleOptions, google } from './google.ts'
export { type KeycloakOptions, keycloak } from './keycloak.ts'
export { type LinearOptions, linear } from './linear.ts'
export { type NotionOptions, notion } from './notion.ts'
export { type OAuth2Options, oauth2 } from './oauth2.ts'
export { type OidcOptions, oidc } from './oidc.ts'
export { type OktaOptions, okta } from './okta.ts'
export type {
  Identity,
  Proof,
  Provider,
  ProviderContext,
  ProviderEntry,
  ProviderInput,
  ProviderOptions,
  Refreshed,
  SetUpMistake,
  SignIn,
} from './provider.ts'
export { defineProvider, SetUpError } from './provider.ts'
export { type SlackOptions, slack } from './slack.ts'
export { type SupabaseOptions, supabase } from './supabase.ts'
export { type WorkosOptions, workos } from './workos.ts'

/** By the `type` of a configured provider. */
export const PROVIDER_TYPES: readonly ProviderType[] = [
  GITHUB,
  GITHUB_APP,
  GOOGLE,
  ENTRA,
  OKTA,
  AUTH0,
  KEYCLOAK,
  COGNITO,
  WORKOS,
  SUPABASE,
  OIDC,
  ATLASSIAN,
  DISCORD,
  GITLAB,
  LINEAR,
  NOTION,
  OAUTH2,
  SLACK,
]
