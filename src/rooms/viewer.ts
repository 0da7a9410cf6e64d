import type { Socket } from 'node:net'
import type { DisconnectReason } from './disconnect-reason.js'
import { storedBlocks } from './gzip-blocks.js'

/** The part of a socket that a stream is written to. */
export type ViewerSocket = Pick<Socket, 'write' | 'writableLength' | 'cork' | 'uncork' | 'once' | 'destroySoon' | 'destroy'>

/** One open SSE stream. There are very many: keep no more here than is needed. */
export class Viewer {
  readonly #socket: ViewerSocket
  /** Why the stream ends; what nobody else ended, the viewer did. */
  disconnectReason: DisconnectReason = 'viewer-left'
  /** In the one list of viewers that it is in; the list sets it. */
  place = -1

  /** @param isGzip whether its stream is gzip, of which it has got the header */
  constructor (socket: ViewerSocket, readonly isGzip = false) {
    this.#socket = socket
  }

  /**
   * Writes bytes that it shares with other viewers, encoded as its stream is; they are not copied.
   *
   * @returns false when the viewer does not keep up: write no more until it has drained
   */
  write (frame: Buffer): boolean {
    // A frame larger than the stream's high-water mark makes write() answer false although the kernel took it all.
    return this.#socket.write(frame) || this.#socket.writableLength === 0
  }

  /**
   * Writes frames that are for this viewer, with one system call.
   *
   * @returns as `write` does
   */
  tell (...frames: readonly Buffer[]): boolean {
    let keepsUp = true
    this.#socket.cork()
    for (const bytes of this.isGzip ? frames.flatMap(storedBlocks) : frames) keepsUp = this.#socket.write(bytes) && keepsUp
    this.#socket.uncork()
    return keepsUp || this.#socket.writableLength === 0
  }

  /** Calls back once, when all that was written is out. Only after a write that returned false. */
  onceDrained (callback: () => void) {
    this.#socket.once('drain', callback)
  }

  /**
   * Ends the stream after what has been written is out.
   *
   * @returns whether it is all out already
   */
  close (reason: DisconnectReason): boolean {
    this.disconnectReason = reason
    this.#socket.destroySoon()
    return this.#socket.writableLength === 0
  }

  /** Ends the stream at once. */
  destroy (reason: DisconnectReason) {
    this.disconnectReason = reason
    this.#socket.destroy()
  }
}
