/** The sign-in providers of this house. Adding one: its file, its test, one line here, one row in docs/providers.md. */
import { GITHUB } from './github.ts'
import { GITHUB_APP } from './github-app.ts'
import { OIDC } from './oidc.ts'
import type { ProviderType } from './provider.ts'

export { type GitHubOptions, github } from './github.ts'
export { githubApp } from './github-app.ts'
export { type OidcOptions, oidc } from './oidc.ts'
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

/** By the `type` of a configured provider. */
export const PROVIDER_TYPES: readonly ProviderType[] = [GITHUB, GITHUB_APP, OIDC]
