import fp from 'fastify-plugin'
import { boundHalfOpen } from '../src/half-open.js'
import { systemClock } from '../src/clock.js'

/** About 10 KB each. A storm of viewers stays below it: what waits for the server to accept it is no connection of its own yet. */
const MAX_HALF_OPEN = 16_384
const SAID_EVERY_MS = 10_000

/** Who opens connections and asks for nothing takes no place from others. Registered after the turnstile, behind which requests may wait. */
export default fp(async (app) => {
  let saidAtMs = -Infinity
  let cut = 0
  boundHalfOpen(app.server, MAX_HALF_OPEN, () => {
    cut++
    if (systemClock.now() - saidAtMs < SAID_EVERY_MS) return
    saidAtMs = systemClock.now()
    app.log.warn({ bound: 'MAX_HALF_OPEN', cut }, 'too many connections without a request, the oldest are cut')
    cut = 0
  })
}, { name: 'half-open', dependencies: ['turnstile'] })
