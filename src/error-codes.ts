/**
 * Every `ERR_*` code: what it means and what to do. A code without a row does not compile;
 * `docs/errors.md` is generated from these tables.
 */
interface ErrorRow {
  /** Short summary, for a problem (RFC 9457). Default: the meaning. */
  readonly title?: string
  readonly meaning: string
  readonly fix: string
}
type ErrorTable = Readonly<Record<`ERR_${string}`, ErrorRow>>

/** Start-up refuses; the message names the field. */
export const CONFIG_ERRORS = {
  ERR_CONFIG_VALUE: {
    meaning: 'A field or flag has a value outside its type or range.',
    fix: 'Correct the named field; its range is in docs/configuration.md.',
  },
  ERR_CONFIG_UNKNOWN_FIELD: {
    meaning: 'A name in the file or a `POSTERN_*` name in the environment is not a setting.',
    fix: 'Correct the spelling (the nearest known name is told), or remove it.',
  },
  ERR_CONFIG_UNKNOWN_FLAG: {
    meaning: 'A flag of the command is not known.',
    fix: 'Run `postern serve --help`.',
  },
  ERR_CONFIG_FILE: {
    meaning: 'The configuration file is absent, cannot be read, or has no default export.',
    fix: 'Correct `--config`, or the file.',
  },
  ERR_CONFIG_REFERENCE: {
    meaning:
      'An `env:` or `file:` reference, or a `*_FILE` name, points at nothing that can be read.',
    fix: 'Set the named variable, or create the file and let Postern read it.',
  },
  ERR_CONFIG_ISSUER: {
    meaning: 'The issuer is http and not on a loopback host.',
    fix: 'Set `issuer` to the public https URL; behind a TLS proxy Postern itself may listen on http.',
  },
  ERR_CONFIG_SEALING_KEY: {
    meaning:
      'The sealing key is absent, is not 32 random bytes, or is not the one that the database was sealed with.',
    fix: 'Run `npx postern keys new` and set `POSTERN_SEALING_KEY`; to change keys, put the new one first: `new,old`.',
  },
  ERR_CONFIG_DATABASE: {
    meaning:
      '`databaseUrl` cannot be used here, or the database was made by another release or was changed by hand.',
    fix: 'Set `databaseUrl` to a fitting one, start the release that made it, or restore a backup.',
  },
  ERR_CONFIG_ALLOW: {
    meaning: 'A public issuer has providers, and nobody is named in `allow`.',
    fix: "Name e-mail addresses, domains, users, groups, organizations or teams, or write `'anyone'`.",
  },
  ERR_CONFIG_ALLOW_KIND: {
    meaning: '`allow` has a kind that no configured provider can answer, or not without doubt.',
    fix: 'Add the provider that knows it (`github`, `entra`), or use `emails`, `emailDomains`, `users` or `groups`.',
  },
  ERR_CONFIG_PROVIDER_CREDENTIALS: {
    meaning: 'A provider has no client id, or no client secret where it needs one.',
    fix: 'Set `POSTERN_<ID>_CLIENT_ID` and `POSTERN_<ID>_CLIENT_SECRET`.',
  },
  ERR_CONFIG_HEADER_VALUE: {
    meaning: "A connector with `auth: 'header'` has no value to send.",
    fix: 'Set `POSTERN_CONNECTOR_<NAME>_HEADER_VALUE`.',
  },
  ERR_CONFIG_CONNECTOR_CLIENT: {
    meaning:
      "A connector has no client, or no client secret, and its authorization server registers nobody by itself: `auth: 'client_credentials'`, or a preset whose operator gives out clients by hand.",
    fix: 'Register a client there; set `POSTERN_CONNECTOR_<NAME>_CLIENT_ID` and `POSTERN_CONNECTOR_<NAME>_CLIENT_SECRET`.',
  },
  ERR_CONFIG_OVERLAP: {
    meaning: 'Two connectors, or a connector and this house, want the same path.',
    fix: 'Give one of them another `path` or route, or set `prefix`.',
  },
  ERR_LISTEN_IN_USE: {
    meaning: 'Another program listens on the port.',
    fix: 'Stop it, or set `POSTERN_PORT`.',
  },
} as const satisfies ErrorTable
export type ConfigErrorCode = keyof typeof CONFIG_ERRORS

/** Somebody else failed; the operation and the origin stand beside the code. */
export const UPSTREAM_ERRORS = {
  ERR_UPSTREAM_TIMEOUT: {
    meaning: 'No whole answer within the deadline.',
    fix: 'See why it is slow; the deadlines are `limits.*TimeoutMs`.',
  },
  ERR_UPSTREAM_CONNECT: {
    meaning: 'No connection: refused, unreachable, or the proxy failed.',
    fix: 'Start it, or correct its URL, the firewall or `egress.proxyUrl`.',
  },
  ERR_UPSTREAM_DNS: {
    meaning: 'The host name has no address.',
    fix: 'Correct the host name or the resolver.',
  },
  ERR_UPSTREAM_TLS: {
    meaning: 'The TLS handshake failed or the certificate does not hold.',
    fix: 'Renew the certificate, or name its authority in `egress.extraCaFile`.',
  },
  ERR_UPSTREAM_ADDRESS: {
    meaning: 'The host name leads to an address that is not public.',
    fix: 'Name its exact origin in the configuration file if you mean it.',
  },
  ERR_UPSTREAM_URL: {
    meaning:
      'The URL may not be asked: scheme, port, user name, or `egress.denyHosts` and `egress.allowHosts`.',
    fix: 'Correct the URL, or the two lists.',
  },
  ERR_UPSTREAM_REDIRECT: {
    meaning: 'The answer is a redirect; none is followed.',
    fix: 'Configure the URL that it leads to.',
  },
  ERR_UPSTREAM_STATUS: {
    meaning: 'A status that says nothing about the question, such as 404 or 500.',
    fix: 'See the log of the other side.',
  },
  ERR_UPSTREAM_BODY: {
    meaning: 'The body is not what the standard says: type, encoding, JSON or members.',
    fix: 'See the log of the other side.',
  },
  ERR_UPSTREAM_TOO_LARGE: {
    meaning: 'The answer is larger than the cap of this operation.',
    fix: 'None here: the caps are fixed.',
  },
  ERR_UPSTREAM_RESET: {
    meaning: 'The connection broke before the answer was whole.',
    fix: 'Try again; if it stays, see proxies in between.',
  },
  ERR_UPSTREAM_BREAKER: {
    meaning: 'This origin failed repeatedly, so nobody asks it for a while.',
    fix: 'Wait: one probe goes out within 5 to 60 s.',
  },
  ERR_UPSTREAM_RATE_LIMIT: {
    meaning: 'The other side asks to wait.',
    fix: 'Wait as long as `Retry-After` says.',
  },
  ERR_UPSTREAM_ISSUER: {
    meaning: 'The discovery document names another issuer.',
    fix: 'Write `issuer` exactly as the document does, trailing slash included.',
  },
} as const satisfies ErrorTable
export type UpstreamErrorCode = keyof typeof UPSTREAM_ERRORS

/** The store failed; clients get 503 and may ask again. */
export const STORE_ERRORS = {
  ERR_STORE_UNAVAILABLE: {
    meaning: 'The store cannot be opened, or does not take the write now.',
    fix: 'Correct `databaseUrl`, its permissions, or see who holds the file.',
  },
  ERR_STORE_FULL: {
    meaning: 'There is no room for another write.',
    fix: 'Free some space.',
  },
  ERR_STORE_CORRUPT: {
    meaning: 'A row or the file cannot be read.',
    fix: 'Restore the database from a backup.',
  },
  ERR_STORE_VALUE: {
    meaning: 'A value that no store may hold: too long, NUL, half a character, not a whole number.',
    fix: 'A bug: report it with the request id.',
  },
} as const satisfies ErrorTable
export type StoreErrorCode = keyof typeof STORE_ERRORS

/** Shown on a page, or in the lines that `serve` prints at start. */
export const SHOWN_ERRORS = {
  ERR_CLIENT_UNKNOWN: {
    meaning: 'The client never registered here, or its registration has ended.',
    fix: 'In the app, remove this server and add it again.',
  },
  ERR_CLIENT_DOCUMENT: {
    meaning:
      'The client is named by the URL of its metadata document, and that could not be fetched or used.',
    fix: 'Try again. The log says why under the flow id; `registration.documentHosts` names accepted hosts.',
  },
  ERR_REDIRECT_URI: {
    meaning: 'The redirect URI is not one of this client.',
    fix: 'Register this exact URI.',
  },
  ERR_PROVIDER_CALLBACK: {
    meaning: 'The provider does not know our callback URL.',
    fix: 'Set the callback URL of the application to the one that is told, exactly.',
  },
  ERR_PROVIDER_CLIENT: {
    meaning: 'The provider does not accept our client id and secret.',
    fix: 'Copy both again, and set `POSTERN_<ID>_CLIENT_ID` and `POSTERN_<ID>_CLIENT_SECRET`.',
  },
  ERR_CONNECTION_NEEDED: {
    meaning: 'The person has not connected this connector.',
    fix: 'Send them to `/connect/<connector>`.',
  },
  ERR_CONNECTION_RECONNECT: {
    meaning:
      'The server behind a connector does not accept the connection any more; the cause stands beside the code.',
    fix: 'Send the person to `/connect/<connector>` again.',
  },
  ERR_CONNECTOR_UNREACHABLE: {
    meaning: 'Nothing answers at the URL of a connector.',
    fix: 'Start the server, or correct `connectors.<name>.url`. Calls get 502 meanwhile.',
  },
  ERR_CONNECTOR_NOT_FOUND: {
    meaning: 'There is no connector of this name, or it does not connect people.',
    fix: 'Correct the name: `postern connectors list`.',
  },
  ERR_CONNECTOR_IN_FILE: {
    title: 'Connector of the configuration file',
    meaning: 'A connector of the configuration file is read-only for the API.',
    fix: 'Change it in the file, or take another name.',
  },
  ERR_CONNECTOR_CHANGED: {
    title: 'Connector has changed',
    meaning: 'Somebody else changed the connector after it was read.',
    fix: 'Read it again, then repeat the change.',
  },
  ERR_CONNECTOR_LIMIT: {
    title: 'Too many connectors',
    meaning: 'The API has made as many connectors as there may be.',
    fix: 'Remove one that is not used, or put it into the configuration file.',
  },
  ERR_CONNECTOR_ORIGIN: {
    meaning:
      'An authorization server puts one of its endpoints on an origin that nobody approved, or moved it there.',
    fix: 'If it belongs to the same operator: `postern connectors approve <name> <origin>`.',
  },
  ERR_CONNECTOR_REGISTRATION: {
    meaning: 'This house is no client at the authorization server of a connector.',
    fix: 'Register a client there; set `POSTERN_CONNECTOR_<NAME>_CLIENT_ID` and `POSTERN_CONNECTOR_<NAME>_CLIENT_SECRET`. The problem says what was tried.',
  },
  ERR_CONNECTOR_ISSUER: {
    meaning: 'A connector names another authorization server than the one that was accepted.',
    fix: 'If this was meant: `postern connectors approve <name> <origin>`; people connect again.',
  },
  ERR_APP_UNKNOWN: {
    meaning: 'No app of this name is configured, or there are several and none was named.',
    fix: 'Name one of `apps` in the configuration.',
  },
  ERR_APP_ORIGIN: {
    meaning: 'The origin of a connect session is not one of its app.',
    fix: 'Add it to `apps.<name>.origins`, exactly.',
  },
  ERR_APP_RETURN_URL: {
    meaning: 'The return URL is not one of its app, to the letter.',
    fix: 'Add it to `apps.<name>.returnUrls`, exactly.',
  },
  ERR_CONNECT_SESSION: {
    meaning: 'The connect session is unknown or has ended.',
    fix: "Let the product's backend make a new one: `POST /api/v1/connect-sessions`.",
  },
  ERR_WIDGET_ORIGIN: {
    meaning: 'The page is on another origin than its connect session was made for.',
    fix: 'Make the session for the origin of the page, and list it in `apps.<name>.origins`.',
  },
  ERR_WIDGET_REQUEST: {
    meaning: 'A request of the widget is malformed: JSON, a member, or the method.',
    fix: 'Load `widget.js` from this server, so that both are of one release.',
  },
  ERR_WIDGET_RATE: {
    meaning: 'One connect session asked too often within a minute.',
    fix: 'Wait as long as `Retry-After` says.',
  },
  ERR_WIDGET_UNAVAILABLE: {
    meaning: 'The request could not be served now: storage, or a server that was never found.',
    fix: 'Try again; the log says why under the request id.',
  },
  ERR_WIDGET_ISSUER: {
    meaning:
      'The element does not know where Postern is: its script did not come from `/widget.js`.',
    fix: 'Set the attribute `issuer` of `<postern-connect>` to the address of Postern.',
  },
  ERR_WIDGET_SESSION: {
    meaning: '`fetchSession` of the element failed, took over 20 s, or gave no token.',
    fix: "Let it return the token of a connect session, made by the product's backend.",
  },
  ERR_WIDGET_CONNECTOR: {
    meaning:
      '`connect()` was called for a server that is not in the list, or before `postern-ready`.',
    fix: 'Name one of `connections` of the element.',
  },
  ERR_WIDGET_NETWORK: {
    meaning:
      'The element got no answer: offline, unreachable, too slow, or not allowed by the page.',
    fix: 'Check the network, and `connect-src` in the policy of the page.',
  },
  ERR_WIDGET_ANSWER: {
    meaning: 'The element got an answer that it cannot read.',
    fix: 'Load `widget.js` from this server; check what lies in front of it.',
  },
  ERR_WIDGET_POPUP_BLOCKED: {
    meaning: 'The browser opened no window; the element shows a link instead.',
    fix: 'Call `connect()` in the handler of a press.',
  },
  ERR_WIDGET_STOPPED: {
    meaning: 'The element left the page during a call; nobody is told.',
    fix: 'Nothing.',
  },
  ERR_CONFIRMATION: {
    meaning: 'The confirmation is unknown, used, older than 5 minutes, or of another user or app.',
    fix: 'Connect again, in the browser where the product knows the user.',
  },
  ERR_CONFIRM_BACKEND: {
    meaning: "This app confirms from its backend: `confirm: 'backend'`.",
    fix: 'Send the confirmation to your backend; it calls `connections.confirm`.',
  },
  ERR_DISCOVERY_ABSENT: {
    meaning: 'A remote server publishes no metadata where the standard looks for it.',
    fix: 'Let it publish RFC 9728 and RFC 8414 documents, or set `endpoints` and `client`.',
  },
  ERR_DISCOVERY_ADDRESS: {
    meaning:
      'A URL of a discovery chain may not be asked: scheme, port, address or `egress` lists.',
    fix: 'If you mean it, name its exact origin in the configuration file.',
  },
  ERR_DISCOVERY_CHALLENGE: {
    meaning: "A server's 401 points to metadata on another origin, or at no usable URL.",
    fix: 'Let the server publish its metadata on its own origin.',
  },
  ERR_DISCOVERY_DOCUMENT: {
    meaning:
      'What stands in the place of a metadata document is none: a page, an error, no JSON, too large.',
    fix: 'Let the server send a JSON object with `Content-Type: application/json`.',
  },
  ERR_DISCOVERY_ENDPOINT: {
    meaning: 'An endpoint in metadata is not https, or no usable URL.',
    fix: 'Let the authorization server publish https endpoints.',
  },
  ERR_DISCOVERY_ISSUER: {
    meaning: 'Authorization server metadata names another issuer than the one it was asked for.',
    fix: 'Let it publish the right `issuer`, or set `pinnedIssuer` for this connector.',
  },
  ERR_DISCOVERY_LEGACY: {
    meaning:
      'A server published no protected resource metadata any more, and credentials are stored for it: they are not taken elsewhere.',
    fix: 'Let the server publish its metadata again, or remove the connector and add it anew.',
  },
  ERR_DISCOVERY_MEMBER: {
    meaning: 'A metadata document lacks a required member, or one has a wrong type.',
    fix: 'Let the server correct the named member.',
  },
  ERR_DISCOVERY_PKCE: {
    meaning: 'An authorization server does not announce PKCE with S256.',
    fix: 'Let it publish `code_challenge_methods_supported: ["S256"]`; or set `endpoints` if it supports it.',
  },
  ERR_DISCOVERY_REDIRECT: {
    meaning: 'A metadata URL answers with a redirect, and none is followed.',
    fix: 'Let the document be served at its own URL, or set `followMetadataRedirects`.',
  },
  ERR_DISCOVERY_RESOURCE: {
    meaning: 'Protected resource metadata speaks of another server than the one that was asked.',
    fix: 'Let the server publish its own URL as `resource`.',
  },
  ERR_WEBHOOK_SIGNATURE: {
    meaning:
      'A request to a receiver of webhooks is unsigned, was changed, is signed with another secret, or is more than 300 s old.',
    fix: 'Give `verifyWebhook` the untouched request and the secret of this webhook; set the clock of the receiver.',
  },
  ERR_TOKEN_AUDIENCE: {
    meaning: 'A token for one server URL was sent to another.',
    fix: 'The client must sign in to each server URL; check the URL in its settings for a typo.',
  },
} as const satisfies ErrorTable
export type ShownErrorCode = keyof typeof SHOWN_ERRORS

/** Refusals of `/api/v1`: `application/problem+json` (RFC 9457), where `title` is the short summary. */
export const API_ERRORS = {
  ERR_API_KEY: {
    title: 'No or bad API key',
    meaning: 'There is no `Authorization: Bearer ptk_...`, or the key is unknown or has ended.',
    fix: 'Send a key of this house; `postern api-keys create` makes one. Access tokens do not work here.',
  },
  ERR_API_ROLE: {
    title: 'The key may not do this',
    meaning: 'The role of the API key does not allow this call.',
    fix: 'Use a key of a role that is named in `detail`.',
  },
  ERR_API_APP: {
    title: 'Not of this key',
    meaning: 'The API key is for another app, or for other connectors.',
    fix: 'Name the app and the connectors that the key was made for, or use another key.',
  },
  ERR_API_NOT_FOUND: {
    title: 'Not found',
    meaning: 'There is no such path below `/api/v1`, or no such thing that this key may see.',
    fix: 'Correct the path or the id; `/api/v1/openapi.json` lists the paths.',
  },
  ERR_API_METHOD: {
    title: 'Method not allowed',
    meaning: 'The path exists, but not with this method.',
    fix: 'Use one of the methods in the `Allow` header.',
  },
  ERR_API_BODY: {
    title: 'Malformed body',
    meaning: 'The body is not a JSON object in UTF-8, or a name stands in it twice.',
    fix: 'Send `Content-Type: application/json` and one JSON object.',
  },
  ERR_API_BODY_SIZE: {
    title: 'Body too large',
    meaning: 'The body is larger than the limit of this API.',
    fix: 'Send less at once; the limit is in `detail`.',
  },
  ERR_API_FIELDS: {
    title: 'Fields are wrong',
    meaning: 'One or more fields are unknown, missing or have a wrong value; `errors` lists each.',
    fix: 'Correct the fields that `errors` names.',
  },
  ERR_API_FIELD_UNKNOWN: {
    title: 'Unknown field',
    meaning: 'A field or parameter has a name that this call does not take.',
    fix: 'Correct its spelling (the nearest known name is told), or leave it out.',
  },
  ERR_API_FIELD_MISSING: {
    title: 'Missing field',
    meaning: 'A field that this call needs is absent.',
    fix: 'Add the field.',
  },
  ERR_API_FIELD_VALUE: {
    title: 'Wrong value',
    meaning: 'A field has a value outside its type or range.',
    fix: 'Correct the value as `detail` says.',
  },
  ERR_API_CURSOR: {
    title: 'Not a cursor of this list',
    meaning: 'The cursor was not made here, or for another list, key or filter.',
    fix: 'Start again without `cursor`, and keep the filters while you page.',
  },
  ERR_API_VERSION: {
    title: 'Changed meanwhile',
    meaning: 'The thing is not in the version that `If-Match` names any more.',
    fix: 'Read it again, decide again, and send its new `ETag`.',
  },
  ERR_API_IDEMPOTENCY_KEY: {
    title: 'Idempotency key used before',
    meaning:
      'The same `Idempotency-Key` came with another request within 24 h, or it is malformed.',
    fix: 'Make a new key for each request that is not a repetition; 1 to 255 printable characters.',
  },
  ERR_API_IN_PROGRESS: {
    title: 'Still running',
    meaning:
      'A request with the same `Idempotency-Key` has not been answered yet, or nobody knows how it ended.',
    fix: 'Ask again after `Retry-After` with the same key.',
  },
  ERR_API_LAST_KEY: {
    title: 'Last key that manages',
    meaning:
      'It is the last API key of the role `manage`, and the configuration has no `adminApiKey`: without it nobody could make another.',
    fix: 'Make another `manage` key first, or set `adminApiKey`.',
  },
  ERR_API_LIMIT: {
    title: 'As many as there may be',
    meaning: 'There are as many things of this kind as the house keeps.',
    fix: 'Remove one that nobody uses.',
  },
  ERR_CLIENT_IN_FILE: {
    title: 'Client of the configuration file',
    meaning: 'A client of the configuration file is read-only for the API.',
    fix: 'Change it in the file.',
  },
  ERR_WEBHOOK_IN_FILE: {
    title: 'Webhook of the configuration file',
    meaning: 'A webhook of the configuration file is read-only for the API.',
    fix: 'Remove it from the file.',
  },
  ERR_API_RATE: {
    title: 'Too many requests',
    meaning: 'This key, or this network, asked more often in a minute than the limit.',
    fix: 'Wait as long as `Retry-After` says.',
  },
  ERR_API_UNAVAILABLE: {
    title: 'Not available right now',
    meaning: 'The storage of this house does not answer.',
    fix: 'Ask again after `Retry-After`.',
  },
  ERR_API_ANSWER: {
    title: 'Not an answer of this API',
    meaning: 'Told by the client: something else answered in the place of the house.',
    fix: 'Correct `url` of `createClient`; see proxies in between.',
  },
  ERR_API_UNREACHABLE: {
    title: 'No answer',
    meaning: 'Told by the client: the house did not answer, also at the second try.',
    fix: 'See whether the house runs, and whether `url` of `createClient` is right.',
  },
  ERR_API_UNEXPECTED: {
    title: 'Unexpected condition',
    meaning: 'A bug of this house; the log says where under the request id.',
    fix: 'Report it with the request id.',
  },
} as const satisfies ErrorTable
export type ApiErrorCode = keyof typeof API_ERRORS

export type ErrorCode = ApiErrorCode | ShownErrorCode | UpstreamErrorCode | StoreErrorCode
