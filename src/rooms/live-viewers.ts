import type { Clock } from '../clock.js'
import type { Counters } from '../counters.js'
import { GzipViewers, type CompressionSettings } from './gzip-viewers.js'
import type { Viewer } from './viewer.js'
import { ViewerList, type Recipients } from './viewer-list.js'

/** The viewers of a room who get each frame as it comes: plain, or gzip. */
export class LiveViewers implements Recipients {
  readonly #plain = new ViewerList()
  readonly #gzip: GzipViewers

  /** @param bytes counts what is written, and what it was before it was encoded */
  constructor (compression: CompressionSettings, clock: Clock, private readonly bytes: Counters['bytes']) {
    this.#gzip = new GzipViewers(compression, clock)
  }

  get size () { return this.#plain.size + this.#gzip.size }

  get isWritten () { return this.#plain.isWritten && this.#gzip.isWritten }

  has (viewer: Viewer) { return this.#like(viewer).has(viewer) }

  add (viewer: Viewer) { this.#like(viewer).add(viewer) }

  delete (viewer: Viewer) { return this.#like(viewer).delete(viewer) }

  * [Symbol.iterator] () {
    yield * this.#plain
    yield * this.#gzip
  }

  begin (frame: Buffer): number {
    const { plain, gzip } = this.bytes
    plain.events += frame.length * this.#plain.size
    gzip.events += frame.length * this.#gzip.size
    const [plainBytes, gzipBytes] = [this.#plain.begin(frame), this.#gzip.begin(frame)]
    plain.written += plainBytes
    gzip.written += gzipBytes
    return plainBytes + gzipBytes
  }

  write (most: number, onBlocked: (viewer: Viewer) => void): number {
    const written = this.#plain.write(most, onBlocked)
    return written + this.#gzip.write(most - written, onBlocked)
  }

  writeTo (viewer: Viewer): boolean { return this.#like(viewer).writeTo(viewer) }

  #like (viewer: Viewer): Recipients {
    return viewer.isGzip ? this.#gzip : this.#plain
  }
}
