import { formatEventId, type EventId } from './event-id.js'

/**
 * Frames: the bytes of one SSE event, made once and written to every viewer.
 * Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 * Fields are written without a space after the colon, as the existing clients know them.
 */

/** Why a `gap` event was sent. */
export const GAP_REASONS = [
  /** The connection to the broker was interrupted; what was published meanwhile was not heard. */
  'broker-reconnect',
  /** The instance that numbered the room's messages was lost, and no other had heard all of them. */
  'sequencer-lost',
  /** For a while no instance had the room open; what was published then with plain PUBLISH reached nobody. */
  'room-idle',
  /** Messages came faster than they could be logged, for longer than they can be kept. */
  'overflow',
  /** The viewer did not keep up and its place fell out of the history. */
  'slow-viewer',
  /** The viewer resumed from an event that fell out of the history. */
  'history-exceeded',
  /** The viewer resumed from an id that nobody gave out. */
  'unknown-id'
] as const

export type GapReason = typeof GAP_REASONS[number]

/** The data of a `gap` event. */
export interface Gap {
  readonly reason: GapReason
  /** Id of the last event before the gap; null when not known. */
  readonly from: string | null
  /** Id of the place where the stream goes on. */
  readonly to: string
  /** Number of messages missed; null when not known. */
  readonly missed: number | null
}

/** Last event of a stream whose viewer may watch no longer. */
export const TOKEN_EXPIRED_FRAME = Buffer.from('event:unauthorized\ndata:{"reason":"token-expired"}\n\n')

/** A comment: keeps the connection alive, never seen by EventSource. */
export const HEARTBEAT_FRAME = Buffer.from(':\n\n')

/** @param data the batch as the contract has it: a JSON array of strings, each one message exactly as published */
export function messagesFrame (id: EventId, data: string): Buffer {
  return Buffer.from(`id:${formatEventId(id)}\ndata:${data}\n\n`)
}

/** The messages of a frame that `messagesFrame` made. */
export function messagesOf (frame: Buffer): string[] {
  const dataStart = frame.indexOf('\ndata:') + '\ndata:'.length
  return JSON.parse(frame.toString('utf8', dataStart))
}

/**
 * @param id of the place after the gap, so that a viewer that resumes there is not told of it again
 * @param data JSON of a Gap
 */
export function gapFrame (id: EventId, data: string): Buffer {
  return Buffer.from(`id:${formatEventId(id)}\nevent:gap\ndata:${data}\n\n`)
}

/** @param payload passed on as published; a line break in it starts another data line, which EventSource joins again */
export function endFrame (payload: string): Buffer {
  const data = payload.split(/\r\n|\r|\n/).map((line) => `data:${line}\n`).join('')
  return Buffer.from(`event:end\n${data}\n`)
}

/**
 * How many viewers the room has. Without an id: a viewer that comes back resumes after what was said, not after this. It is kept
 * for long, so its memory is its own, and no piece that all small buffers share.
 */
export function viewersFrame (count: number): Buffer {
  const text = `event:viewers\ndata:{"count":${count}}\n\n`
  const frame = Buffer.allocUnsafeSlow(text.length)
  frame.write(text)
  return frame
}

/**
 * First bytes of a stream.
 *
 * @param retryMs reconnection time for the browser
 * @param id where the stream starts. An event without data is not dispatched, but its id counts: a viewer whose stream
 *   breaks before the first message still resumes without loss
 */
export function helloFrame (retryMs: number, id?: EventId): Buffer {
  return Buffer.from(`retry:${Math.round(retryMs)}\n${id ? `id:${formatEventId(id)}\n` : ''}\n`)
}

/**
 * Last bytes of a stream that the instance closes, or does not take up, and that the viewer should open again.
 *
 * @param reason named in a comment for whoever reads the wire
 * @param retryMs reconnection time for the browser
 */
export function goodbyeFrame (reason: string, retryMs: number): Buffer {
  return Buffer.from(`:${reason}\nretry:${Math.round(retryMs)}\n\n`)
}
