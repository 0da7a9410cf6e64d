import type { Protocol } from '../contenders.js'

const EVENT_SOURCE_HEADERS = 'Accept: text/event-stream\r\nCache-Control: no-cache\r\n'
const WEB_SOCKET_HEADERS = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

/** First bytes a viewer sends: what EventSource asks for, or a WebSocket handshake. */
export function requestHead (protocol: Protocol, path: string, lastEventId: string, acceptsGzip: boolean): string {
  const headers = protocol === 'sse' ? EVENT_SOURCE_HEADERS : WEB_SOCKET_HEADERS
  const resume = lastEventId === '' ? '' : `Last-Event-ID: ${lastEventId}\r\n`
  const encoding = acceptsGzip ? 'Accept-Encoding: gzip\r\n' : ''
  return `GET ${path} HTTP/1.1\r\nHost: bench\r\n${headers}${encoding}${resume}\r\n`
}

/** Socket.IO: once the WebSocket is open the client joins the namespace: a text frame `40`, masked with zeros. */
export const JOIN_FRAME = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x34, 0x30])

const HEAD_END = '\r\n\r\n'
const GREETING_END: Record<Protocol, RegExp> = {
  // The first event, or comment, is each viewer's own: its reconnection time may be spread. In a gzip stream it stands in a stored block, as it is.
  sse: /\n\n/g,
  'socket.io': /40\{"sid":"[^"]*"\}/g
}

/**
 * @returns where the viewer's own bytes end and those of the room begin; -1 when they have not all come
 * @throws Error when the answer is no stream
 */
export function streamStart (protocol: Protocol, head: Buffer): number {
  const text = head.toString('latin1')
  const headEnd = text.indexOf(HEAD_END)
  if (headEnd < 0) return -1
  if (!/^HTTP\/1\.1 (200|101) /.test(text)) throw new Error(text.slice(0, 200))
  const end = GREETING_END[protocol]
  end.lastIndex = headEnd + HEAD_END.length
  return end.test(text) ? end.lastIndex : -1
}

/** @returns whether the WebSocket is open and nothing but its opening has come */
export function mayJoin (head: Buffer): boolean {
  return head.includes(HEAD_END)
}
