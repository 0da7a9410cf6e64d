import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { build, type Server } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'

const ME = { 'X-Forwarded-For': '203.0.113.1' }
const OTHER = { 'X-Forwarded-For': '203.0.113.2' }
const ROOM = crypto.randomUUID()

const buildLimited = async (t: Test, env: Record<string, string> = {}) => await build(t, { TRUST_PROXY: 'loopback', MAX_VIEWERS_PER_ADDRESS: '2', ...env })

/** Tells whether an address with a limit of two has just so many places free: each place that was lost, or given back twice, shows. */
async function freePlaces ({ app, watch }: Server) {
  const before = app.rooms.viewers
  const streams = [await watch(crypto.randomUUID(), '', ME), await watch(crypto.randomUUID(), '', ME), await watch(crypto.randomUUID(), '', ME)]
  const free = app.rooms.viewers - before
  for (const stream of streams) stream.close()
  await eventually('they have left', () => app.rooms.viewers === before)
  return free
}

t.test('an address that has as many viewers as it may is told to come back, until one of them leaves', async (t) => {
  const server = await buildLimited(t)
  const { app, watch } = server
  const room = crypto.randomUUID()
  const first = await watch(room, '', ME)
  await watch(crypto.randomUUID(), '', ME)
  const refused = await watch(crypto.randomUUID(), '', ME)
  await refused.untilClosed()
  t.same([refused.status, refused.comments], [200, ['max-viewers-per-address']])
  t.ok(refused.retryMs >= 1000 && refused.retryMs <= 3000)
  t.equal(app.rooms.survey().roles.owner, 2, 'no room is opened for it')
  t.equal(app.rooms.counters.refusals['max-viewers-per-address'], 1)
  t.notOk((await watch(room, '', OTHER)).closed)
  t.equal(await freePlaces(server), 0)
  first.close()
  await eventually('it has left', () => app.rooms.viewers === 2)
  t.equal(await freePlaces(server), 1)
})

t.test('places are given back once, however a stream ends', async (t) => {
  const server = await buildLimited(t, { MAX_VIEWERS: '3', SLOW_VIEWER_TIMEOUT_MS: '5000', FLUSH_INTERVAL_MS: '1' })
  const { app, watch, log } = server
  const room = crypto.randomUUID()

  const ended = [await watch(room, '', ME), await watch(room, '', ME)]
  await app.broker.end(room, '{}')
  for (const stream of ended) await stream.untilClosed()
  t.equal(await freePlaces(server), 2, 'with its room')
  t.equal((await watch(room, '', ME)).status, 204)
  t.equal((await watch(room, '', ME)).status, 204)
  t.equal(await freePlaces(server), 2, 'not at all, for the room is over')

  const [slow, witness] = [await watch(ROOM, '', ME), await watch(ROOM, '', OTHER)]
  slow.socket.pause()
  const isCut = () => log.some(({ reason }) => reason === 'slow-viewer')
  // Who has got everything is not behind: it is the other one. On a busy machine it may have been cut before anybody looks.
  for (let n = 0; app.rooms.slowViewers === 0 && !isCut(); n++) {
    await app.broker.publish(ROOM, 'x'.repeat(60_000))
    await witness.untilMessages(n + 1)
  }
  await eventually('it is cut', isCut)
  slow.socket.resume()
  await slow.untilClosed()
  t.equal(await freePlaces(server), 2, 'cut')

  const others = [await watch(room.replace(/^./, 'a'), '', OTHER), await watch(room.replace(/^./, 'b'), '', { 'X-Forwarded-For': '203.0.113.3' })]
  for (let n = 0; n < 3; n++) await (await watch(ROOM, '', ME)).untilClosed()
  t.match(log.filter(({ msg }) => msg === 'viewer refused').slice(-3), [{ reason: 'max-viewers' }, { reason: 'max-viewers' }, { reason: 'max-viewers' }])
  for (const stream of [...others, witness]) stream.close()
  await eventually('they have left', () => app.rooms.viewers === 0)
  t.equal(await freePlaces(server), 2, 'refused for another reason')
})

t.test('a viewer that leaves before the head of its stream gives its place back, and has it until then', async (t) => {
  const server = await buildLimited(t)
  const { app, url, watch } = server
  const { turnstile } = app
  const { hostname, port } = new URL(url)
  const held: Array<() => void> = []
  // The first turn is for the request, the second for the head, when the room is open.
  let turns = 0
  const pass = turnstile.pass.bind(turnstile)
  turnstile.pass = (goOn) => { if (turns++ % 2 === 0) goOn(); else held.push(goOn) }
  for (let n = 0; n < 2; n++) {
    const socket = connect(Number(port), hostname, () => socket.write(`GET /api/v1/chats/sse-connect/${crypto.randomUUID()} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n`))
    await eventually('it waits', () => held.length === n + 1)
    socket.resetAndDestroy()
    await once(socket, 'close')
  }
  turnstile.pass = pass
  const refused = await watch(ROOM, '', ME)
  await refused.untilClosed()
  t.same(refused.comments, ['max-viewers-per-address'])
  for (const goOn of held) goOn()
  await eventually('they are gone', () => app.rooms.viewers === 0)
  t.equal(await freePlaces(server), 2)
})
