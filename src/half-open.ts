import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Bounds the connections on which no request has come yet: they cost memory and a file descriptor each until they time out, and
 * anybody can open them. Of one too many, the oldest is cut, for whoever means to ask does so at once. Those that have sent the head of a
 * request do not count, however many viewers come together.
 *
 * @param most so many at a time
 * @param onCut is told of each that was cut
 * @returns tells how many there are
 */
export function boundHalfOpen (server: Server, most: number, onCut: () => void): () => number {
  // In the order in which they came.
  const silent = new Set<Socket>()

  function forget (this: Socket) {
    silent.delete(this)
  }

  server.on('connection', (socket) => {
    silent.add(socket)
    socket.on('close', forget)
    if (silent.size <= most) return
    const [oldest] = silent
    if (oldest === undefined) return
    silent.delete(oldest)
    oldest.destroy()
    onCut()
  })
  server.on('request', ({ socket }: IncomingMessage) => { silent.delete(socket) })
  return () => silent.size
}
