/**
 * The first path segments of this house, in one place: the issuer's routes are made of them, a
 * mounted house claims them before it is open, and a connector may take none of them.
 */

/** Endpoints and files of the issuer, below `prefix` when an application mounts the house. */
export const ENDPOINT_SEGMENTS = [
  'authorize',
  'consent',
  'token',
  'register',
  'revoke',
  'par',
  'logout',
  'introspect',
  'backchannel-logout',
  'events',
  'webhooks',
  'assets',
] as const
export type EndpointSegment = (typeof ENDPOINT_SEGMENTS)[number]

/** Kept from connectors at any prefix: the endpoints, those to come, and operations. */
export const OUR_SEGMENTS: readonly string[] = [
  ...ENDPOINT_SEGMENTS,
  'callback',
  '.well-known',
  'healthz',
  'readyz',
  'revocations',
]

/** Pages for people that are served: below `prefix`. */
export const PAGE_SEGMENTS: readonly string[] = [
  'account',
  'connect',
  'errors',
  'mcp.json',
  'api/v1',
]

/** Of embedded Connect, where the configuration names apps: below `prefix`. */
export const WIDGET_SEGMENTS: readonly string[] = ['widget', 'widget.js']

/** Paths for people and the API, those to come included: below `prefix`. */
export const PEOPLE_SEGMENTS: readonly string[] = [
  ...PAGE_SEGMENTS,
  'admin',
  'api',
  ...WIDGET_SEGMENTS,
]
