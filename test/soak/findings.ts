import type { GapReason } from '../../src/rooms/frame.js'

/** What must not happen. */
export type ViolationKind =
  /** Published, not received, and no gap said where it is missing. */
  | 'lost'
  | 'doubled'
  /** Came after a later one, although nothing can have held it up. */
  | 'reordered'
  /** Of another room, or nobody's. */
  | 'foreign'
  /** Ids that go back. */
  | 'backwards'
  /** Two viewers were told different things under one id. */
  | 'disagreement'
  /** A gap that says another number than is missing. */
  | 'miscounted'
  /** A status with which a viewer never comes back, or the end of a room that has not ended. */
  | 'sent-away'
  /** An event that is none, or a stream that is not as the contract has it. */
  | 'malformed'
  /** Has not come back, or has not got the last message. */
  | 'stuck'
  | 'billed-wrongly'
  /** An instance that ended, or said what it must never say. */
  | 'instance'
  | 'leak'

export interface Violation {
  readonly kind: ViolationKind
  readonly detail: string
  /** When it was noticed, in seconds since the start. */
  readonly atSeconds: number
  /** The last fault before that. */
  readonly fault: string
}

/** So many are told; all are counted. */
const VIOLATIONS_KEPT = 200

/** What was counted, and what went wrong, in a whole run. */
export class Findings {
  readonly violations: Violation[] = []
  violationCount = 0
  published = 0
  /** Redis did not take them, or did not say so. */
  unsure = 0
  /** Taken by Redis while no instance listened: with plain PUBLISH lost to all, else parked. */
  unheard = 0
  deliveries = 0
  /** Messages that viewers were told are missing, or may be. */
  missed = 0
  /** Messages that came again behind a gap: said by an owner that could not log them any more. */
  repeated = 0
  late = 0
  ended = 0
  connects = 0
  reconnects = 0
  /** Streams that were told to come back later, by reason. */
  readonly refusals = new Map<string, number>()
  readonly gaps = new Map<GapReason, number>()
  readonly faults = new Map<string, number>()
  /** What instances logged as warnings and errors. */
  readonly complaints = new Map<string, number>()
  readonly #startedAtMs = performance.now()
  #fault = 'none'

  get seconds () { return (performance.now() - this.#startedAtMs) / 1000 }

  /** The last fault: what, when, to whom. */
  get fault () { return this.#fault }

  /** A fault begins. */
  begin (kind: string) {
    this.#fault = `${kind} at ${Math.round(this.seconds)} s`
    count(this.faults, kind)
  }

  /** There is no fault any more. */
  calm () {
    this.#fault = `the faults were over at ${Math.round(this.seconds)} s`
  }

  /** More about the fault. */
  note (detail: string) {
    this.#fault += `: ${detail}`
  }

  violate (kind: ViolationKind, detail: string) {
    this.violationCount++
    if (this.violations.length < VIOLATIONS_KEPT) this.violations.push({ kind, detail, atSeconds: this.seconds, fault: this.#fault })
  }

  /** When something is noted now that is judged later. */
  moment (): string {
    return `at ${Math.round(this.seconds)} s, after ${this.#fault}`
  }
}

/** One more of its kind. */
export function count<K> (counts: Map<K, number>, key: K) {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
