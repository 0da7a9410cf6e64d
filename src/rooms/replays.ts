import { deflatedBlock, storedBlocks } from './gzip-blocks.js'
import { messagesIn, type History, type Position } from './history.js'

/** Most bytes that are kept, of all replays of a room. */
const MAX_KEPT_BYTES = 262_144

/** Entries that follow each other, as one frame. */
export interface Replay {
  readonly frame: Buffer
  /** The place after them. */
  readonly to: Position
  readonly messages: number
  /** How many viewers with gzip got it. */
  gzipViewers: number
  /** For the second of them, and those after it. */
  deflated?: Buffer
}

/**
 * What viewers get first that come back: after a broken connection in the path, or when an instance has stopped, they come all at
 * once, and most of them were at the same place. So it is made once per place, and not per viewer.
 */
export class Replays {
  readonly #kept = new Map<number, Replay>()
  #bytes = 0

  /** @param maxBytes after so many bytes no further entry is added */
  constructor (private readonly history: History, private readonly maxBytes: number) {}

  /** The entries after a place; undefined when there are none. */
  from (position: Position): Replay | undefined {
    const kept = this.#kept.get(position.seq)
    if (kept !== undefined) return kept
    const made = this.#make(position)
    if (made !== undefined) this.#keep(position.seq, made)
    return made
  }

  /** Forgets what is kept. A replay that was made before there were further entries stays right: it just ends before them. */
  clear () {
    this.#kept.clear()
    this.#bytes = 0
  }

  #make (position: Position): Replay | undefined {
    const entries = this.history.after(position, this.maxBytes)
    const [first] = entries
    const last = entries.at(-1)
    if (first === undefined || last === undefined) return undefined
    return { frame: first === last ? first.frame : Buffer.concat(entries.map(({ frame }) => frame)), to: last.to, messages: entries.reduce((sum, entry) => sum + messagesIn(entry), 0), gzipViewers: 0 }
  }

  #keep (seq: number, replay: Replay) {
    this.#kept.set(seq, replay)
    this.#bytes += replay.frame.length
    for (const [oldest, { frame }] of this.#kept) {
      if (this.#bytes <= MAX_KEPT_BYTES || oldest === seq) break
      this.#kept.delete(oldest)
      this.#bytes -= frame.length
    }
  }
}

/**
 * The bytes of a replay for one more viewer, which is counted: compressing takes longer than writing, so it is done when it
 * is known to be shared.
 */
export function takeReplay (replay: Replay, isGzip: boolean): Buffer[] {
  if (!isGzip) return [replay.frame]
  if (++replay.gzipViewers > 1) replay.deflated ??= deflatedBlock(replay.frame)
  return replay.deflated === undefined ? storedBlocks(replay.frame) : [replay.deflated]
}
