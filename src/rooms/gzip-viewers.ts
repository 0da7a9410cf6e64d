import type { Clock } from '../clock.js'
import { deflatedBlock, storedBlocks, WINDOW_BYTES } from './gzip-blocks.js'
import type { Viewer } from './viewer.js'
import { ViewerList, type Recipients } from './viewer-list.js'

/** Compressing costs as much as writing to so many viewers. */
const MIN_OUT_OF_STEP = 10

export interface CompressionSettings {
  /** With fewer viewers frames are not compressed: their streams are gzip, but of stored blocks. */
  readonly minViewers: number
  /** How long blocks may refer back to earlier ones. */
  readonly keyframeMs: number
}

/**
 * Viewers that get gzip. A frame is compressed once for all of them, and refers back to the frames since the last keyframe:
 * one that refers to nothing.
 *
 * Invariant: the last text that each viewer in `#inStep` was written is `#sinceKeyframe`, and nothing else. Who joins between two keyframes has
 * other text before it, so it gets blocks that refer to nothing until the next one.
 */
export class GzipViewers implements Recipients {
  readonly #inStep = new ViewerList()
  readonly #outOfStep = new ViewerList()
  /** Undefined: the next frame is a keyframe. */
  #sinceKeyframe: Buffer | undefined
  #keyframeAtMs = 0

  constructor (private readonly settings: CompressionSettings, private readonly clock: Clock) {}

  get size () { return this.#inStep.size + this.#outOfStep.size }

  get isWritten () { return this.#inStep.isWritten && this.#outOfStep.isWritten }

  has (viewer: Viewer) {
    return this.#inStep.has(viewer) || this.#outOfStep.has(viewer)
  }

  add (viewer: Viewer) {
    this.#outOfStep.add(viewer)
  }

  delete (viewer: Viewer) {
    return this.#inStep.delete(viewer) || this.#outOfStep.delete(viewer)
  }

  * [Symbol.iterator] () {
    yield * this.#inStep
    yield * this.#outOfStep
  }

  begin (frame: Buffer): number {
    if (this.size === 0) return 0
    if (this.size < this.settings.minViewers) return this.#beginStored(frame)
    if (this.#sinceKeyframe === undefined || this.clock.now() - this.#keyframeAtMs >= this.settings.keyframeMs) return this.#beginKeyframe(frame)
    return this.#beginAfter(this.#sinceKeyframe, frame)
  }

  write (most: number, onBlocked: (viewer: Viewer) => void): number {
    const written = this.#inStep.write(most, onBlocked)
    return written + this.#outOfStep.write(most - written, onBlocked)
  }

  writeTo (viewer: Viewer): boolean {
    return this.#inStep.has(viewer) ? this.#inStep.writeTo(viewer) : this.#outOfStep.writeTo(viewer)
  }

  #beginStored (frame: Buffer) {
    const block = Buffer.concat(storedBlocks(frame))
    this.#sinceKeyframe = undefined
    return this.#inStep.begin(block) + this.#outOfStep.begin(block)
  }

  #beginKeyframe (frame: Buffer) {
    for (const viewer of this.#outOfStep) this.#inStep.add(viewer)
    this.#outOfStep.clear()
    this.#keyframeAtMs = this.clock.now()
    this.#sinceKeyframe = latest(frame)
    return this.#inStep.begin(deflatedBlock(frame))
  }

  #beginAfter (before: Buffer, frame: Buffer) {
    this.#sinceKeyframe = latest(Buffer.concat([before, frame]))
    const bytes = this.#inStep.size > 0 ? this.#inStep.begin(deflatedBlock(frame, before)) : 0
    if (this.#outOfStep.size >= MIN_OUT_OF_STEP) return bytes + this.#outOfStep.begin(deflatedBlock(frame))
    if (this.#outOfStep.size > 0) return bytes + this.#outOfStep.begin(Buffer.concat(storedBlocks(frame)))
    return bytes
  }
}

/** What of a text can be referred back to; the rest is not kept. */
function latest (text: Buffer): Buffer {
  return text.length <= WINDOW_BYTES ? text : Buffer.from(text.subarray(text.length - WINDOW_BYTES))
}
