/**
 * The way back without an opener: the other server cut the tie, or there was no window, so the browser
 * came to the product's page with `#postern-confirmation=...&attempt=...` or `#postern=...`.
 *
 * The fragment is taken off the address at once. The tab that started the attempt is asked first, over
 * a channel that only this origin hears; when it does not answer, an element here confirms with the
 * session of this page. A confirmation is worth nothing with anybody else's session (O1).
 */

const CHANNEL = 'postern-connect'
/** How long the tab that started may take to answer. */
const FIRST_TAB_MS = 1_500
const FRAGMENT = /^#postern(-confirmation)?=/
const SHAPE = /^[\w.~-]{8,1024}$/

export type ChannelMessage =
  | { readonly type: 'postern:arrived'; readonly attempt: string; readonly confirmation: string }
  | { readonly type: 'postern:taken'; readonly attempt: string }
  | { readonly type: 'postern:changed'; readonly issuer: string }

export type Arrival =
  | {
      readonly confirmation: string
      /** True when another tab of this origin took it. */
      readonly isTaken: Promise<boolean>
    }
  /** A trip that needs no confirmation is over: `connected`, or why not. */
  | { readonly word: string }

let arrival: Arrival | undefined

/** Takes the fragment off the address of this page, if there is one. Call it as early as possible. */
export function takeFragment(): void {
  if (typeof location === 'undefined' || !FRAGMENT.test(location.hash)) return
  const fields = new URLSearchParams(location.hash.slice(1))
  history.replaceState(history.state, '', `${location.pathname}${location.search}`)
  const word = fields.get('postern')
  if (word !== null) arrival = { word }
  const confirmation = fields.get('postern-confirmation') ?? ''
  const attempt = fields.get('attempt') ?? ''
  if (!SHAPE.test(confirmation) || !SHAPE.test(attempt)) return
  arrival = { confirmation, isTaken: askFirstTab(attempt, confirmation) }
}

/** What arrived, for the first element that asks; nobody gets it twice. */
export function claimArrival(): Arrival | undefined {
  const claimed = arrival
  arrival = undefined
  return claimed
}

/** @returns A channel of this origin; `hear` gets only messages of a known form. */
export function openChannel(hear: (message: ChannelMessage) => void): BroadcastChannel {
  const channel = new BroadcastChannel(CHANNEL)
  channel.addEventListener('message', ({ data }: MessageEvent) => {
    if (isMessage(data)) hear(data)
  })
  return channel
}

export function say(channel: BroadcastChannel, message: ChannelMessage): void {
  channel.postMessage(message)
}

function askFirstTab(attempt: string, confirmation: string): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = (isTaken: boolean): void => {
      clearTimeout(timer)
      channel.close()
      resolve(isTaken)
    }
    const channel = openChannel((message) => {
      if (message.type === 'postern:taken' && message.attempt === attempt) finish(true)
    })
    const timer = setTimeout(finish, FIRST_TAB_MS, false)
    say(channel, { type: 'postern:arrived', attempt, confirmation })
  })
}

function isMessage(data: unknown): data is ChannelMessage {
  if (typeof data !== 'object' || data === null) return false
  const { type, attempt, confirmation, issuer } = data as Readonly<Record<string, unknown>>
  if (type === 'postern:changed') return typeof issuer === 'string'
  if (typeof attempt !== 'string') return false
  return (
    type === 'postern:taken' || (type === 'postern:arrived' && typeof confirmation === 'string')
  )
}
