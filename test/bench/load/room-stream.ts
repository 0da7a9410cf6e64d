/**
 * All viewers of a room get the same bytes, from the place where they joined. This holds the longest stream that any of them
 * has got; each one's bytes are compared with it, without parsing, and whoever is ahead of it extends it. So it
 * is enough to parse this one.
 */
export class RoomStream {
  #bytes = Buffer.allocUnsafe(4096)
  #length = 0

  get bytes (): Buffer { return this.#bytes.subarray(0, this.#length) }

  get length (): number { return this.#length }

  /** @returns whether the bytes at this offset are the room's */
  accept (offset: number, bytes: Buffer, length: number): boolean {
    const known = Math.min(length, this.#length - offset)
    if (known > 0 && this.#bytes.compare(bytes, 0, known, offset, offset + known) !== 0) return false
    if (known < length) this.#append(bytes, known, length)
    return true
  }

  #append (bytes: Buffer, start: number, end: number) {
    const length = this.#length + end - start
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(2 * length)
      this.#bytes.copy(larger, 0, 0, this.#length)
      this.#bytes = larger
    }
    bytes.copy(this.#bytes, this.#length, start, end)
    this.#length = length
  }
}
