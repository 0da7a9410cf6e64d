import { constants, deflateRawSync } from 'node:zlib'

/**
 * A gzip stream whose parts are shared by many viewers: a fixed header, then blocks of deflate, each complete to its last byte.
 * It has no trailer, for the sum in it would be each viewer's own. Decoders give out all that has come before they
 * miss it; at the end some of them call the stream cut off.
 */

/** First bytes of the stream: deflate, without a name, a time or a system (RFC 1952, 2.3). */
export const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])

/** Text that a block may refer back to (RFC 1951, 2). */
export const WINDOW_BYTES = 32_768
/** Most bytes of one stored block (RFC 1951, 3.2.4). */
const MAX_STORED_BYTES = 65_535
/** What a block may be longer than its text, and room to end it. */
const OVERHEAD_BYTES = 64

/** Bytes as they are: five bytes more for each block, and next to no work. They are not copied. */
export function storedBlocks (bytes: Buffer): Buffer[] {
  const blocks: Buffer[] = []
  for (let start = 0; start < bytes.length; start += MAX_STORED_BYTES) {
    const part = bytes.subarray(start, start + MAX_STORED_BYTES)
    const head = Buffer.alloc(5)
    head.writeUInt16LE(part.length, 1)
    head.writeUInt16LE(~part.length & 0xffff, 3)
    blocks.push(head, part)
  }
  return blocks
}

/** @param before text that came directly before in the stream of everyone who gets the block */
export function deflatedBlock (bytes: Buffer, before?: Buffer): Buffer {
  return deflateRawSync(bytes, {
    finishFlush: constants.Z_SYNC_FLUSH,
    chunkSize: bytes.length + OVERHEAD_BYTES,
    ...(before === undefined ? {} : { dictionary: before })
  })
}
