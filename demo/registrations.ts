/** Who is registered where: the two providers, and the client that each way has at each of them. */

export const PROVIDERS = ['openid', 'github'] as const
export type ProviderName = (typeof PROVIDERS)[number]

export const TITLES: Readonly<Record<ProviderName, string>> = {
  openid: 'Demo provider',
  github: 'GitHub double',
}
/** Nobody listens there: the visitor stops before it. */
export const REDIRECT_URI = 'http://127.0.0.1:9/callback'
export const OPENID_CLIENT = { clientId: 'postern', clientSecret: 'postern-demo-secret' }
export const OPENID_OLD_WAY = { clientId: 'old-way', clientSecret: 'old-way-demo-secret' }
export const GITHUB_APP = {
  clientId: 'Iv1.postern',
  clientSecret: 'postern-demo-secret',
  name: 'Postern',
}
export const GITHUB_OLD_WAY = {
  clientId: 'Iv1.oldway',
  clientSecret: 'old-way-demo-secret',
  name: 'Old way',
}
