import type { Viewer } from './viewer.js'

/** Viewers that are written to together, all with the same encoding. */
export interface LiveViewers extends Iterable<Viewer> {
  readonly size: number
  has (viewer: Viewer): boolean
  /** Only a viewer that has been written everything up to now. */
  add (viewer: Viewer): void
  /** @returns whether it was there */
  delete (viewer: Viewer): boolean
  /**
   * Writes a frame to all of them.
   *
   * @param onBlocked called with each that does not keep up, and is to be deleted
   * @returns bytes written, to all of them together
   */
  write (frame: Buffer, onBlocked: (viewer: Viewer) => void): number
}

/** Viewers that get frames as they are. */
export class PlainViewers extends Set<Viewer> implements LiveViewers {
  write (frame: Buffer, onBlocked: (viewer: Viewer) => void): number {
    const bytes = frame.length * this.size
    for (const viewer of this) if (!viewer.write(frame)) onBlocked(viewer)
    return bytes
  }
}
