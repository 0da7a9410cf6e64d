import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { everyoneGotAll, watchUrl } from '../fixtures/chat.js'
import { startStage } from '../fixtures/stage.js'

const HOP_INTERVAL_MS = 300
const DURATION_MS = 60_000

t.test('a viewer that hops between three instances of a busy room for a minute gets exactly what one gets who stays', async (t) => {
  const stage = await startStage(t, { instances: 3 })
  const urls = stage.cluster.instances.map(({ url }) => url)
  const chat = stage.chat({ identicalEvery: 7 })
  const [hopper] = urls.map((url) => chat.watch(url))
  await chat.watched()
  chat.talk(500)
  const endsAt = performance.now() + DURATION_MS
  for (let hops = 1; performance.now() < endsAt; hops++) {
    const interval = pause(HOP_INTERVAL_MS)
    await hopper?.hop(watchUrl(urls[hops % urls.length] ?? '', chat.room))
    await interval
  }
  await chat.finish()
  everyoneGotAll(t, chat)
  t.ok(hopper && hopper.connects > DURATION_MS / HOP_INTERVAL_MS * 0.8, `${hopper?.connects} streams`)
  await stage.billed(t, chat)
})
