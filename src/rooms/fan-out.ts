import type { Clock } from '../clock.js'

/** Writing to so many viewers takes a few ms. */
const VIEWERS_PER_TURN = 256

/** Somebody who has a frame to write to viewers. */
export interface Writing {
  /** Whether some of them have not been written it. */
  readonly isWriting: boolean
  /**
   * Writes it to some of these.
   *
   * @param most so many of them
   * @returns how many that were
   */
  writeOn (most: number): number
}

/**
 * Writes the frames of all rooms, a few ms in each turn of the event loop, by turns: between them messages are heard and
 * logged, and viewers come and go. So a room with ten thousand viewers, which takes 100 ms, delays nobody by more than a few.
 */
export class FanOut {
  readonly #writing = new Set<Writing>()
  #isRequested = false

  /**
   * @param onWritten is told what each part took, in ms
   * @param viewersPerTurn of all rooms together
   */
  constructor (private readonly clock: Clock, private readonly onWritten: (durationMs: number) => void, private readonly viewersPerTurn = VIEWERS_PER_TURN) {}

  /** There is something to write. */
  add (writing: Writing) {
    this.#writing.add(writing)
    this.#request()
  }

  /** There is nothing left. */
  delete (writing: Writing) {
    this.#writing.delete(writing)
  }

  #request () {
    if (this.#isRequested) return
    this.#isRequested = true
    this.clock.soon(() => this.#write())
  }

  #write () {
    this.#isRequested = false
    const startedAtMs = this.clock.now()
    let left = this.viewersPerTurn
    try {
      for (const writing of this.#writing) {
        this.#writing.delete(writing)
        // Looking at a room costs about as much as writing to a viewer.
        left -= writing.writeOn(left) + 1
        if (writing.isWriting) this.#writing.add(writing)
        if (left <= 0) break
      }
    } finally {
      this.onWritten(this.clock.now() - startedAtMs)
      if (this.#writing.size > 0) this.#request()
    }
  }
}
