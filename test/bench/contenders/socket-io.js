// A rival: Socket.IO with its Redis adapter, over WebSocket alone. Messages come from its own Redis emitter, which is
// how another process sends to a room. Its ping is off, as is everyone's heartbeat; permessage-deflate is off by default.
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { Redis } from 'ioredis'

const require = createRequire(process.env.RIVALS)
const { Server } = require('socket.io')
const { createAdapter } = require('@socket.io/redis-adapter')

const PING_INTERVAL_MS = 600_000

const redis = { host: process.env.REDIS_IP, port: Number(process.env.REDIS_PORT) }
const server = createServer((request, response) => response.end())
const io = new Server(server, {
  transports: ['websocket'],
  serveClient: false,
  pingInterval: PING_INTERVAL_MS,
  adapter: createAdapter(new Redis(redis), new Redis(redis))
})
io.on('connection', (socket) => socket.join(socket.handshake.query.room))
server.listen(Number(process.env.PORT), process.env.HOST)
