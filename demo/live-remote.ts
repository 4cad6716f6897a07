/** The part of the page about a remote server: one press at a time, and what its clicks took. */
import { PATIENCE_MS, type RemoteStory } from './remote.ts'

export interface RemoteState {
  readonly connected: boolean
  readonly killed: boolean
  readonly busy: boolean
  /** Of the last three clicks the middle one, server alive and dead. */
  readonly warmMs?: number
  readonly deadMs?: number
  /** Exchanges at the remote server during those. */
  readonly remoteCalls?: number
  readonly plainMs?: number
  /** The old way got no answer from the dead server for this long. */
  readonly plainHungMs?: number
  readonly note?: string
}

const CLICKS = 3

export class LiveRemote {
  readonly #story: RemoteStory
  readonly #changed: () => void
  #last: Promise<unknown>
  #figures: Partial<RemoteState> = {}
  #busy = 0
  #isClosed = false

  constructor(story: RemoteStory, changed: () => void) {
    this.#story = story
    this.#changed = changed
    this.#last = this.#inTurn(async () => {
      // The first click of a process loads code.
      await story.click()
      await this.#click()
      await this.#plainClick()
    })
  }

  state(): RemoteState {
    const story = this.#story
    return {
      ...this.#figures,
      connected: story.isConnected(),
      killed: story.isKilled(),
      busy: this.#busy > 0,
    }
  }

  connect(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#click()
      if (this.#story.isKilled())
        return this.#say('the click opens; to finish, the server must live')
      const status = await this.#story.connect()
      this.#say(`connected; a call with Ada’s own token there: ${status}`)
    })
  }

  disconnect(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#story.disconnect()
      this.#say('disconnected; its tokens are gone here at once')
    })
  }

  kill(): Promise<void> {
    return this.#inTurn(async () => {
      this.#story.kill()
      await this.#click()
      this.#say('the server accepts and says nothing')
      await this.#plainClick()
    })
  }

  revive(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#story.revive()
      await this.#click()
      this.#say('the server answers again')
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#last
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#busy += 1
    const turn = async (): Promise<void> => {
      try {
        if (!this.#isClosed) await work()
      } catch (error) {
        this.#say(error instanceof Error ? error.message : 'it did not work')
      }
      this.#busy -= 1
      this.#tell({})
    }
    const mine = (this.#last ?? Promise.resolve()).then(turn)
    this.#last = mine
    this.#tell({})
    return mine
  }

  async #click(): Promise<void> {
    const isDead = this.#story.isKilled()
    const clicks = []
    while (clicks.length < CLICKS) clicks.push(await this.#story.click())
    const { ms = 0 } = clicks.toSorted((left, right) => left.ms - right.ms)[1] ?? {}
    const remoteCalls = clicks.reduce((sum, each) => sum + each.remoteCalls, 0)
    this.#tell({ remoteCalls, ...(isDead ? { deadMs: ms } : { warmMs: ms }) })
  }

  async #plainClick(): Promise<void> {
    const isDead = this.#story.isKilled()
    const plainMs = await this.#story.plainClick()
    if (plainMs !== undefined) this.#tell({ plainMs })
    else if (isDead) this.#tell({ plainHungMs: PATIENCE_MS })
  }

  #say(note: string): void {
    this.#tell({ note })
  }

  #tell(figures: Partial<RemoteState>): void {
    this.#figures = { ...this.#figures, ...figures }
    if (!this.#isClosed) this.#changed()
  }
}
