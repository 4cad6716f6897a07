/** Every word that the widget shows or announces, by language; English where a language is missing. */

export interface Texts {
  readonly list: string
  readonly loading: string
  readonly empty: string
  readonly connect: string
  readonly reconnect: string
  readonly disconnect: string
  readonly retry: string
  readonly cancel: string
  readonly show: string
  readonly openWindow: string
  readonly opening: string
  readonly waiting: string
  readonly confirming: string
  readonly disconnecting: string
  readonly none: string
  readonly active: string
  readonly needsReconnect: string
  readonly unavailable: string
  readonly connected: string
  readonly disconnected: string
  readonly notConfirmed: string
  readonly lost: string
  readonly refused: string
  readonly failed: string
  readonly blocked: string
  readonly takenElsewhere: string
  readonly wait: string
  readonly errors: Readonly<Record<string, string>>
}

const EN: Texts = {
  list: 'Connections',
  loading: 'Loading connections…',
  empty: 'There is nothing to connect here.',
  connect: 'Connect',
  reconnect: 'Reconnect',
  disconnect: 'Disconnect',
  retry: 'Try again',
  cancel: 'Cancel',
  show: 'Show window',
  openWindow: 'Open the window',
  opening: 'Opening a window…',
  waiting: 'Continue in the other window',
  confirming: 'Finishing…',
  disconnecting: 'Disconnecting…',
  none: 'Not connected',
  active: 'Connected',
  needsReconnect: 'Needs to be connected again',
  unavailable: 'Cannot be connected right now',
  connected: 'Connected.',
  disconnected: 'Disconnected.',
  notConfirmed: 'Not finished yet. Reload this page in a moment.',
  lost: 'Nothing came back from the window. If it is still open, finish there; otherwise try again.',
  refused: 'Not connected: it was not allowed in the other window.',
  failed: 'It did not work. Try again in a moment.',
  blocked: 'Your browser blocked the window.',
  takenElsewhere: 'Done. You can close this window.',
  wait: 'Too many tries. Wait a moment, then try again.',
  errors: {
    ERR_WIDGET_NETWORK: 'No answer. Check your connection, then try again.',
    ERR_WIDGET_UNAVAILABLE: 'This cannot be done right now. Try again in a moment.',
    ERR_WIDGET_OFFLINE: 'You are offline. This continues when you are back.',
    ERR_WIDGET_SESSION:
      'This page could not prove who you are. Sign in to it again, then try again.',
    ERR_CONNECT_SESSION: 'Your session here has ended. Sign in to this page again, then try again.',
    ERR_WIDGET_ORIGIN: 'This site is not allowed to show connections.',
    ERR_WIDGET_ISSUER: 'This page does not say where its connections are kept.',
    ERR_CONFIRMATION: 'This could not be finished: it was too late, or started by somebody else.',
  },
}

const LANGUAGES: Readonly<Record<string, Texts>> = { en: EN }

/** @param language BCP 47. @returns The words, and the language they are in. */
export function textsOf(language: string): { readonly texts: Texts; readonly language: string } {
  const primary = language.toLowerCase().split('-')[0] ?? ''
  const texts = LANGUAGES[primary]
  return texts === undefined ? { texts: EN, language: 'en' } : { texts, language }
}
