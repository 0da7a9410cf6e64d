import fp from 'fastify-plugin'
import { systemClock } from '../src/clock.js'
import { RoomRegistry } from '../src/rooms/room-registry.js'

declare module 'fastify' {
  interface FastifyInstance {
    rooms: RoomRegistry
  }
}

/** The rooms of this instance. When the app closes, their viewers are let go first, while it still listens. */
export default fp(async (app) => {
  const { config } = app
  const rooms = new RoomRegistry(app.broker, {
    flushIntervalMs: config.FLUSH_INTERVAL_MS,
    flushMaxIntervalMs: config.FLUSH_MAX_INTERVAL_MS,
    historyMessages: config.HISTORY_MESSAGES,
    historyBytes: config.HISTORY_BYTES,
    retryMs: config.RETRY_MS,
    subscribeTimeoutMs: config.SUBSCRIBE_TIMEOUT_MS,
    compression: { minViewers: config.COMPRESS_MIN_VIEWERS, keyframeMs: config.KEYFRAME_MS },
    roomLingerMs: config.ROOM_LINGER_MS,
    heartbeatMs: config.HEARTBEAT_MS,
    slowViewerTimeoutMs: config.SLOW_VIEWER_TIMEOUT_MS,
    tellViewers: config.VIEWER_COUNTS === 'on',
    maxViewers: config.MAX_VIEWERS,
    maxRooms: config.MAX_ROOMS,
    endedTtlMs: config.ENDED_TTL_MS,
    leaseMs: config.LEASE_MS,
    handoverMs: config.HANDOVER_MS
  }, systemClock, app.log)
  app.decorate('rooms', rooms)
  app.addHook('preClose', () => rooms.drain(config.DRAIN_MS))
  app.addHook('onClose', () => rooms.close())
}, { name: 'rooms', dependencies: ['env', 'broker'], decorators: { fastify: ['config', 'broker'] } })
