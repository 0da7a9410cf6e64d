import t, { type Test } from 'tap'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import type { SseStream } from '../fixtures/sse-stream.js'

const GZIP = { 'Accept-Encoding': 'gzip, deflate, br' }
/** Fields of a chat message that differ little from one to the next, as they do in a chat. */
const message = (n: number) => JSON.stringify({ id: `u${n % 7}`, nickname: `viewer${n % 7}`, profileImgUrl: 'https://cdn.example/avatars/default.png', message: `this is what they say, number ${n}`, createdAt: '2026-11-23T09:00:00+09:00' })
const upTo = (count: number, from = 0) => Array.from({ length: count - from }, (_, index) => message(from + index))

/** A room of which a plain viewer is the witness: what others get is what it gets. */
async function start (t: Test, env: Record<string, string> = {}) {
  const server = await build(t, { FLUSH_INTERVAL_MS: '1', COMPRESS_MIN_VIEWERS: '1', KEYFRAME_MS: '600000', ...env })
  const room = crypto.randomUUID()
  const witness = await server.watch(room)
  let count = 0
  return {
    ...server,
    room,
    witness,
    watchGzip: async (query?: string, headers = {}) => await server.watch(room, query, { ...GZIP, ...headers }),
    /** Says messages in batches, and waits until they have come. */
    async say (batches: number, messages = 5) {
      for (let batch = 0; batch < batches; batch++) {
        for (let n = 0; n < messages; n++) await server.app.broker.publish(room, message(count++))
        await witness.untilMessages(count)
      }
      return count
    }
  }
}

async function sameEvents (t: Test, stream: SseStream, witness: SseStream, from = 0) {
  const expected = witness.events.slice(from)
  await stream.until(() => stream.events.length >= expected.length, 'all events')
  t.same(stream.events, expected)
}

t.test('who accepts gzip gets the same events under the same ids, in fewer bytes', async (t) => {
  const { witness, watchGzip, say } = await start(t)
  const stream = await watchGzip()
  t.equal(stream.headers.get('content-encoding'), 'gzip')
  t.equal(stream.headers.get('content-type'), 'text/event-stream;charset=UTF-8')
  t.match(stream.headers.get('vary'), /Accept-Encoding/)
  await say(50)
  await sameEvents(t, stream, witness)
  t.ok(stream.bodyBytes * 2.5 < witness.bodyBytes, `${stream.bodyBytes} of ${witness.bodyBytes} bytes`)
})

t.test('who does not accept gzip, or prefers none, gets none', async (t) => {
  const { room, watch, witness } = await start(t)
  t.notOk(witness.headers.has('content-encoding'))
  t.match(witness.headers.get('vary'), /Accept-Encoding/, 'caches are told')
  for (const accepted of ['', 'identity', 'br', 'gzip;q=0', 'identity, gzip;q=0.5']) {
    t.notOk((await watch(room, '', { 'Accept-Encoding': accepted })).headers.has('content-encoding'), accepted)
  }
})

t.test('switched off, nobody gets it', async (t) => {
  const { watchGzip } = await start(t, { COMPRESS: 'off' })
  const { headers } = await watchGzip()
  t.notOk(headers.has('content-encoding'))
  t.notMatch(headers.get('vary') ?? '', /Accept-Encoding/)
})

t.test('while there are too few for it to pay they get everything uncompressed, and compressed when there are enough', async (t) => {
  const { app, witness, watchGzip, say } = await start(t, { COMPRESS_MIN_VIEWERS: '2' })
  const first = await watchGzip()
  await say(10)
  await sameEvents(t, first, witness)
  t.ok(first.bodyBytes > witness.bodyBytes)
  const second = await watchGzip()
  const [before, bytesBefore] = [witness.events.length, first.bodyBytes]
  const plainBefore = witness.bodyBytes
  await say(20)
  await sameEvents(t, first, witness)
  await sameEvents(t, second, witness, before)
  t.ok((first.bodyBytes - bytesBefore) * 2 < witness.bodyBytes - plainBefore)
  second.close()
  await eventually('it is alone again', () => app.rooms.viewers === 2)
  await say(10)
  await sameEvents(t, first, witness)
})

t.test('a viewer resumes where it was, gets a gap where it cannot, and recent messages, in gzip too', async (t) => {
  const { witness, watchGzip, say, app, room } = await start(t, { HISTORY_MESSAGES: '50' })
  const stream = await watchGzip()
  await say(5)
  await sameEvents(t, stream, witness)
  stream.close()
  const seen = witness.events.length
  await say(5)
  const resumed = await watchGzip('', { 'Last-Event-ID': stream.lastEventId })
  await say(5)
  await sameEvents(t, resumed, witness, seen)
  const recent = await watchGzip('?recent=10')
  t.same(await recent.untilMessages(10), upTo(75, 65))
  await say(20)
  const late = await watchGzip('', { 'Last-Event-ID': stream.lastEventId })
  await late.untilMessages(50)
  t.match(JSON.parse(late.named('gap')[0]?.data ?? '{}'), { reason: 'history-exceeded', missed: 175 - 25 - late.messages.length })
  await app.broker.end(room, '{"reason":"over"}')
  for (const each of [resumed, recent, late]) {
    await each.untilClosed()
    t.equal(each.events.at(-1)?.data, '{"reason":"over"}')
  }
})

t.test('a silent gzip stream gets comments, also among compressed batches', async (t) => {
  const { witness, watchGzip, say } = await start(t, { HEARTBEAT_MS: '100' })
  const streams = [await watchGzip(), await watchGzip()]
  for (let round = 1; round <= 3; round++) {
    await say(2)
    const comments = witness.comments.length
    await witness.until(() => witness.comments.length > comments, 'a comment')
  }
  await say(2)
  for (const stream of streams) {
    await sameEvents(t, stream, witness)
    t.ok(stream.comments.length >= 3)
  }
})

t.test('a gzip viewer that stopped reading is caught up, and goes on as the others do', async (t) => {
  const { witness, watchGzip, app, room } = await start(t, { HISTORY_MESSAGES: '10000', HISTORY_BYTES: '100000000', KEYFRAME_MS: '1' })
  const [slow, other] = [await watchGzip(), await watchGzip()]
  slow.socket.pause()
  // Bytes that cannot be compressed fill what the kernel holds.
  for (let n = 0; n < 400; n++) {
    await app.broker.publish(room, Buffer.from(crypto.getRandomValues(new Uint8Array(45_000))).toString('base64'))
    if (n % 4 === 3) await witness.untilMessages(n + 1)
  }
  t.ok(slow.messages.length < 400)
  slow.socket.resume()
  await sameEvents(t, other, witness)
  await sameEvents(t, slow, witness)
  const published = witness.messages.length
  for (let n = 1; n <= 20; n++) {
    await app.broker.publish(room, message(n))
    await witness.untilMessages(published + n)
  }
  await sameEvents(t, slow, witness)
  await sameEvents(t, other, witness)
})
