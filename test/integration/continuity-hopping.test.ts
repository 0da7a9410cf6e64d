import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { everyoneGotAll, watchUrl } from '../fixtures/chat.js'
import { startStage } from '../fixtures/stage.js'

const HOP_INTERVAL_MS = 300
const HOPS = 200

t.test('a viewer that hops two hundred times between three instances of a busy room gets exactly what one gets who stays', async (t) => {
  const stage = await startStage(t, { instances: 3 })
  const urls = stage.cluster.instances.map(({ url }) => url)
  const chat = stage.chat({ identicalEvery: 7 })
  const [hopper] = urls.map((url) => chat.watch(url))
  await chat.watched()
  chat.talk(500)
  for (let hops = 1; hops <= HOPS; hops++) {
    const interval = pause(HOP_INTERVAL_MS)
    await hopper?.hop(watchUrl(urls[hops % urls.length] ?? '', chat.room))
    await interval
  }
  await chat.finish()
  everyoneGotAll(t, chat)
  await stage.billed(t, chat)
})
