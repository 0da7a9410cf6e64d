import type { Viewer } from './viewer.js'

const NOTHING = Buffer.alloc(0)

/** Viewers that are written to together. */
export type Recipients = Iterable<Viewer> & Pick<ViewerList, 'size' | 'isWritten' | 'has' | 'add' | 'delete' | 'begin' | 'write' | 'writeTo'>

/**
 * Viewers that are written the same bytes, of a room that may be so large that this is done in parts.
 *
 * Invariant: those before `#next` have been written all frames, those from there on all but the last one. A viewer knows its
 * place, so that none has to be looked for, and writing allocates nothing.
 */
export class ViewerList implements Iterable<Viewer> {
  readonly #viewers: Viewer[] = []
  #next = 0
  #frame: Buffer = NOTHING

  get size () { return this.#viewers.length }

  /** Whether all have been written the last frame. */
  get isWritten () { return this.#next === this.#viewers.length }

  has (viewer: Viewer): boolean {
    return this.#viewers[viewer.place] === viewer
  }

  /** @param viewer has been written all frames, also the one that is being written */
  add (viewer: Viewer) {
    const due = this.#viewers[this.#next]
    if (due !== undefined) this.#put(due, this.#viewers.length)
    this.#put(viewer, this.#next)
    this.#next++
  }

  /** @returns whether it was there */
  delete (viewer: Viewer): boolean {
    if (!this.has(viewer)) return false
    let hole = viewer.place
    if (hole < this.#next) {
      this.#next--
      this.#move(this.#next, hole)
      hole = this.#next
    }
    this.#move(this.size - 1, hole)
    this.#viewers.pop()
    return true
  }

  clear () {
    this.#viewers.length = 0
    this.#next = 0
  }

  [Symbol.iterator] () {
    return this.#viewers.values()
  }

  /**
   * From now on it is this frame that is written. The one before must have been written to all.
   *
   * @returns bytes to write, to all of them together
   */
  begin (frame: Buffer): number {
    // It would be kept for as long as nobody is there to be written it.
    if (this.size > 0) this.#frame = frame
    this.#next = 0
    return frame.length * this.size
  }

  /**
   * Writes the frame to some who have not been written it.
   *
   * @param onBlocked called with each that does not keep up, and is to be deleted
   * @returns how many that were: fewer than `most` when all have it now
   */
  write (most: number, onBlocked: (viewer: Viewer) => void): number {
    let written = 0
    for (let viewer = this.#viewers[this.#next]; viewer !== undefined && written < most; viewer = this.#viewers[this.#next]) {
      this.#next++
      written++
      if (!viewer.write(this.#frame)) onBlocked(viewer)
    }
    if (this.isWritten) this.#frame = NOTHING
    return written
  }

  /**
   * Writes the frame to one of them, out of turn, unless it has been written it.
   *
   * @returns false when it does not keep up, and is to be deleted
   */
  writeTo (viewer: Viewer): boolean {
    const place = viewer.place
    if (place < this.#next) return true
    const due = this.#viewers[this.#next]
    if (due !== undefined) this.#put(due, place)
    this.#put(viewer, this.#next)
    this.#next++
    return viewer.write(this.#frame)
  }

  #put (viewer: Viewer, place: number) {
    this.#viewers[place] = viewer
    viewer.place = place
  }

  #move (from: number, to: number) {
    const viewer = this.#viewers[from]
    if (viewer !== undefined && from !== to) this.#put(viewer, to)
  }
}
