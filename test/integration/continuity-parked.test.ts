import t, { type Test } from 'tap'
import type { Instance } from '../../deploy/local-cluster/cluster.js'
import { watchUrl } from '../fixtures/chat.js'
import { eventually } from '../fixtures/eventually.js'
import { SseStream } from '../fixtures/sse-stream.js'
import { startStage } from '../fixtures/stage.js'

const messages = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, index) => `{"n":${first + index}}`)

async function start (t: Test) {
  const stage = await startStage(t, { env: { ROOM_LINGER_MS: '100' } })
  return {
    ...stage,
    async watch (instance: Instance, room: string, query = '', headers: Record<string, string> = {}) {
      const stream = await SseStream.open(watchUrl(instance.url, room, query), headers)
      t.teardown(() => stream.close())
      return stream
    },
    async postAll (instance: Instance, room: string, texts: readonly string[]) {
      const statuses = new Set<number>()
      for (const text of texts) statuses.add((await stage.post(instance, room, text)).status)
      t.same([...statuses], [202], `${texts.length} messages are taken`)
    },
    /** Waits until no instance hears the room. */
    async closed (room: string) {
      await eventually('the room is closed', async () => Number((await stage.tenant.pubsub('NUMSUB', room) as unknown[])[1]) === 0)
    }
  }
}

t.test('what was posted while nobody had the room comes first, in order, to the next viewer that asks for it', async (t) => {
  const { pair, watch, postAll, billed } = await start(t)
  const [one, other] = pair()
  const room = crypto.randomUUID()
  await postAll(one, room, messages(1, 20))
  const stream = await watch(other, room, '?recent=500')
  t.same(await stream.untilMessages(20), messages(1, 20))
  await postAll(one, room, messages(21, 40))
  t.same(await stream.untilMessages(40), messages(1, 40))
  t.same(stream.named('gap'), [])
  await billed(t, { room, sequenced: 40 })
})

// It may be told of a gap: what was published by plain PUBLISH meanwhile, if anything, is lost.
t.test('a viewer that resumes gets what was posted while nobody had the room', async (t) => {
  const { pair, watch, postAll, closed, billed } = await start(t)
  const [one, other] = pair()
  const room = crypto.randomUUID()
  const first = await watch(one, room)
  await postAll(one, room, messages(1, 10))
  t.same(await first.untilMessages(10), messages(1, 10))
  first.close()
  await closed(room)
  await postAll(other, room, messages(11, 30))
  const resumed = await watch(other, room, '', { 'Last-Event-ID': first.lastEventId })
  t.same(await resumed.untilMessages(20), messages(11, 30))
  await postAll(one, room, messages(31, 40))
  t.same(await resumed.untilMessages(30), messages(11, 40))
  await billed(t, { room, sequenced: 40 })
})

t.test('messages that are posted while an instance takes the room keep their order', async (t) => {
  const { pair, watch, postAll, billed } = await start(t)
  const [one, other] = pair()
  const rooms = Array.from({ length: 10 }, () => ({ room: crypto.randomUUID(), sequenced: 100 }))
  for (const { room } of rooms) {
    await postAll(one, room, messages(1, 5))
    const posted = postAll(one, room, messages(6, 100))
    const stream = await watch(other, room, '?recent=500')
    await posted
    t.same(await stream.untilMessages(100), messages(1, 100))
    t.same(stream.named('gap'), [])
  }
  await billed(t, ...rooms)
})
