import t, { type Test } from 'tap'
import { build, type Server } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'

/** More than the kernel holds for a socket that nobody reads, on both ends together. */
const FLOOD = 400
const text = (n: number) => `${n} ${'x'.repeat(60_000)}`
const numbers = (messages: string[]) => messages.map((message) => parseInt(message))

async function flood (server: Server, room: string, witness: { messages: string[], until (condition: () => boolean, what: string): Promise<void> }, from = 0, count = FLOOD) {
  for (let n = from; n < from + count; n++) {
    await server.app.broker.publish(room, text(n))
    // In step with who reads, so that only the one who does not falls behind.
    if (n % 4 === 3) await witness.until(() => numbers(witness.messages).at(-1) === n, `message ${n}`)
  }
}

/** A room with a viewer that reads and one that has stopped, after a flood. */
async function stall (t: Test, env: Record<string, string>) {
  const server = await build(t, { FLUSH_INTERVAL_MS: '1', ...env })
  const room = crypto.randomUUID()
  const witness = await server.watch(room)
  const slow = await server.watch(room)
  slow.socket.pause()
  await flood(server, room, witness)
  return { server, room, witness, slow }
}

t.test('a viewer that stopped reading is caught up from the history, in order, without a gap', async (t) => {
  const { server, room, slow } = await stall(t, { HISTORY_MESSAGES: '10000', HISTORY_BYTES: '100000000' })
  t.ok(slow.messages.length < FLOOD, 'it is behind')
  slow.socket.resume()
  await slow.untilMessages(FLOOD)
  await server.app.broker.publish(room, text(FLOOD))
  await slow.untilMessages(FLOOD + 1)
  t.same(numbers(slow.messages), Array.from({ length: FLOOD + 1 }, (_, n) => n))
  t.same(slow.named('gap'), [])
})

t.test('a viewer that fell out of the history is told how many it missed and goes on with the newest', async (t) => {
  const { server, room, witness, slow } = await stall(t, { HISTORY_MESSAGES: '5' })
  slow.socket.resume()
  await slow.until(() => slow.named('gap').length > 0, 'the gap')
  await server.app.broker.publish(room, text(FLOOD))
  await slow.until(() => numbers(slow.messages).at(-1) === FLOOD, 'the live message')

  await witness.untilMessages(FLOOD + 1)

  t.equal(slow.named('gap').length, 1)
  const gap = JSON.parse(slow.named('gap')[0]?.data ?? '') as { reason: string, from: string, to: string, missed: number }
  const gapAt = slow.events.findIndex(({ event }) => event === 'gap')
  t.equal(gap.reason, 'slow-viewer')
  t.equal(gap.from, slow.events[gapAt - 1]?.id, 'it begins after the last event that came')
  t.equal(gap.to, slow.events[gapAt]?.id)
  t.equal(slow.messages.length + gap.missed, FLOOD + 1, 'what came and what was missed is everything')
  const before = slow.events.slice(0, gapAt).flatMap(({ data }) => JSON.parse(data) as string[])
  t.same(numbers(before), before.map((_, n) => n), 'in order before the gap')
  const after = numbers(slow.messages).slice(before.length)
  t.same(after, after.map((_, index) => FLOOD + 1 - after.length + index), 'and after it up to the newest')
  t.same(numbers(witness.messages), Array.from({ length: FLOOD + 1 }, (_, n) => n), 'nobody else is concerned')
})

t.test('a viewer that takes nothing for too long is disconnected, with the reason in the log', async (t) => {
  const { server, room, witness } = await stall(t, { SLOW_VIEWER_TIMEOUT_MS: '5000' })
  await eventually('one viewer is gone', () => server.app.rooms.viewers === 1)
  t.ok(server.log.some(({ msg, reason }) => msg === 'viewer disconnected' && reason === 'slow-viewer'))
  await server.app.broker.publish(room, text(FLOOD))
  await witness.untilMessages(FLOOD + 1)
  t.notOk(witness.closed)
})

t.test('a viewer that is behind when the room ends gets all of it, and the end', async (t) => {
  const { server, room, witness, slow } = await stall(t, { HISTORY_MESSAGES: '10000', HISTORY_BYTES: '100000000' })
  await server.app.broker.end(room, '{}')
  await witness.untilClosed()
  t.equal(server.app.rooms.viewers, 1)
  slow.socket.resume()
  await slow.untilClosed()
  t.same(numbers(slow.messages), Array.from({ length: FLOOD }, (_, n) => n))
  t.equal(slow.events.at(-1)?.event, 'end')
  await eventually('no place is taken any more', () => server.app.rooms.viewers === 0)
})

t.test('a long replay to a viewer that reads slowly is never mixed with what comes live', async (t) => {
  const server = await build(t, { FLUSH_INTERVAL_MS: '1', HISTORY_MESSAGES: '10000', HISTORY_BYTES: '100000000' })
  const room = crypto.randomUUID()
  const witness = await server.watch(room)
  await flood(server, room, witness)
  const reader = await server.watch(room, `?recent=${FLOOD}`)
  for (let n = FLOOD; n < FLOOD + 100; n++) {
    reader.socket.pause()
    await server.app.broker.publish(room, text(n))
    await witness.until(() => numbers(witness.messages).at(-1) === n, `message ${n}`)
    reader.socket.resume()
  }
  await reader.untilMessages(FLOOD + 100)
  t.same(numbers(reader.messages), Array.from({ length: FLOOD + 100 }, (_, n) => n))
  t.same(reader.named('gap'), [])
})

t.test('an instance that stops does not wait for a viewer that reads nothing', async (t) => {
  const { server, witness } = await stall(t, { DRAIN_MS: '100' })
  await server.app.close()
  await witness.untilClosed()
  t.same(witness.comments, ['draining'])
  await eventually('no place is taken any more', () => server.app.rooms.viewers === 0)
})
