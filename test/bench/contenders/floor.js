// The floor: the least a Node.js program can do for the same stream. It hears Redis, makes the bytes of one event per
// batch and writes that one buffer to each socket. A message of a quiet room goes out at once; a busy room writes once in 50 ms and
// rests for half of that at least, as the server does by default, so that there are as many viewer-writes. No HTTP parser, no history, no resume,
// no heartbeat, no limit, no care for slow viewers or broken connections to Redis: what the server costs beyond this is
// the price of those.
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { Redis } from 'ioredis'

const FLUSH_INTERVAL_MS = 50
const HEAD = Buffer.from('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=UTF-8\r\nConnection: close\r\n\r\nretry:2000\n\n')
const READY = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'

const redis = new Redis({ host: process.env.REDIS_IP, port: Number(process.env.REDIS_PORT) })
/** Writes in C, when it is asked for. */
const writeAll = process.env.FAN_OUT && createRequire(import.meta.url)(process.env.ADDON)[process.env.FAN_OUT]
/** By its id: the room's sockets, and what came since the last batch. */
const rooms = new Map()

function flush (room) {
  if (room.messages.length === 0) {
    room.rests = false
    return
  }
  room.sent += room.messages.length
  const frame = Buffer.from(`id:${room.sent}\ndata:${JSON.stringify(room.messages)}\n\n`)
  room.messages = []
  const startedAt = performance.now()
  if (writeAll) writeAll(room.descriptors ??= Int32Array.from(room.sockets, (socket) => socket._handle.fd), frame)
  else for (const socket of room.sockets) socket.write(frame)
  setTimeout(flush, Math.max(startedAt + FLUSH_INTERVAL_MS - performance.now(), FLUSH_INTERVAL_MS / 2), room)
}

redis.on('message', (id, message) => {
  const room = rooms.get(id)
  room.messages.push(message)
  if (room.rests) return
  room.rests = true
  setImmediate(flush, room)
})

function open (id) {
  const room = { sockets: new Set(), messages: [], sent: 0, rests: false, opened: redis.subscribe(id) }
  rooms.set(id, room)
  return room
}

createServer((socket) => {
  socket.setNoDelay(true)
  socket.on('error', () => {})
  socket.once('data', async (request) => {
    const [, id] = /^GET \/rooms\/(\S+)/.exec(request.toString('latin1')) ?? []
    if (id === undefined) return socket.end(READY)
    const room = rooms.get(id) ?? open(id)
    await room.opened
    socket.once('close', () => {
      room.sockets.delete(socket)
      room.descriptors = undefined
    })
    socket.write(HEAD)
    room.sockets.add(socket)
    room.descriptors = undefined
    socket.resume()
  })
}).listen(Number(process.env.PORT), process.env.HOST)
