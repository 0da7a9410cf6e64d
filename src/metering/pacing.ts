import type { Clock } from '../clock.js'
import type { Log } from '../log.js'
import type { OutstandingRecord } from './ledger.js'

/** Requests to the tenant API at a time. */
const CONCURRENCY = 16
/** After so many failures in a row, of whichever rooms, the tenant API counts as unavailable. */
const FAILURES_OF_AN_OUTAGE = 3
/** A room that fails so often while others do not is said in the log. */
const FAILURES_OF_A_ROOM = 8
/** Rounds that bill all that an outage held back: of a room first the record that failed, then what was counted since. */
const ROUNDS_TO_CATCH_UP = 2
const MIN_BACKOFF_MS = 1000
const MAX_BACKOFF_MS = 60_000

/** The pause after the nth failure: twice the last one, spread so that what failed together does not return together. */
function backoffMs (n: number) {
  return Math.min(MIN_BACKOFF_MS * 2 ** (n - 1), MAX_BACKOFF_MS) * (1 + Math.random() / 2)
}

/**
 * How fast the tenant API is asked: a room that failed waits, and when the API itself seems to be away all wait, and
 * one request at a time finds out whether it is back.
 */
export class Pacing {
  readonly #rooms = new Map<string, { readonly failures: number, readonly sinceMs: number, readonly untilMs: number }>()
  #failuresInARow = 0
  /** Pauses of the present outage. */
  #pauses = 0
  #pausedUntilMs = 0
  /** Messages billed since the outage that is not said to be over yet. */
  #billedLate: number | undefined
  #roundsToCatchUp = 0

  constructor (private readonly clock: Clock, private readonly log: Log) {}

  get isAvailable () { return this.#failuresInARow < FAILURES_OF_AN_OUTAGE }

  /** Whether it is available again, and not everything was sent yet that could not be before. */
  get isCatchingUp () { return this.isAvailable && this.#billedLate !== undefined }

  get isPaused () { return this.clock.now() < this.#pausedUntilMs }

  get concurrency () { return this.isAvailable ? CONCURRENCY : 1 }

  /** Rooms whose last request failed. */
  get failingRooms () { return this.#rooms.size }

  /** Since when the room has failed that has done so for the longest: a map keeps the order of first insertion. */
  get failingSinceMs (): number | undefined { return this.#rooms.values().next().value?.sinceMs }

  isWaiting (roomId: string) {
    return this.clock.now() < (this.#rooms.get(roomId)?.untilMs ?? 0)
  }

  /** The tenant API took the record, or refused it. */
  answered (roomId: string, billed: number) {
    if (this.#billedLate !== undefined) this.#billedLate += billed
    // Rooms that failed because it was away need not wait any longer.
    if (this.isAvailable) this.#rooms.delete(roomId)
    else this.#rooms.clear()
    this.#failuresInARow = this.#pauses = 0
  }

  /** @param retryAfterMs what the tenant API asked for: a pause for all */
  failed ({ roomId, key, count }: OutstandingRecord, reason: string, retryAfterMs = 0) {
    this.delay(roomId)
    this.#failuresInARow++
    const nowMs = this.clock.now()
    // What fails during a pause was sent before it.
    if (!this.isAvailable && !this.isPaused) this.#pausedUntilMs = nowMs + backoffMs(++this.#pauses)
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, nowMs + retryAfterMs)
    if (!this.isAvailable) this.#roundsToCatchUp = ROUNDS_TO_CATCH_UP
    if (!this.isAvailable && this.#billedLate === undefined) {
      this.#billedLate = 0
      this.log.warn({ reason }, 'the tenant API is not available, retrying')
    } else if (this.isAvailable && this.#rooms.get(roomId)?.failures === FAILURES_OF_A_ROOM) {
      this.log.warn({ roomId, key, count, reason }, 'messages of a room cannot be billed, retrying')
    }
  }

  /** Lets only this room wait. */
  delay (roomId: string) {
    const { failures: former = 0, sinceMs = this.clock.now() } = this.#rooms.get(roomId) ?? {}
    const failures = former + 1
    this.#rooms.set(roomId, { failures, sinceMs, untilMs: this.clock.now() + backoffMs(failures) })
  }

  /** All that was outstanding since the tenant API was back has been sent. */
  roundEnded () {
    if (!this.isCatchingUp || --this.#roundsToCatchUp > 0) return
    this.log.info({ billedLate: this.#billedLate }, 'the tenant API is available again')
    this.#billedLate = undefined
  }

  /** Lets nobody wait any longer. */
  hurry () {
    this.#rooms.clear()
    this.#pausedUntilMs = 0
  }
}
