import t from 'tap'
import { firstDifference, historyOf } from '../fixtures/account.js'
import { everyoneGotAll } from '../fixtures/chat.js'
import { startStage } from '../fixtures/stage.js'

t.test('three instances of a busy room say the same under the same ids', async (t) => {
  const stage = await startStage(t, { instances: 3 })
  const chat = stage.chat({ identicalEvery: 7 })
  for (const { url } of stage.cluster.instances) chat.watch(url)
  await chat.watched()
  chat.talk(500)
  await chat.goesOn(1000)
  for (const { url } of stage.cluster.instances) chat.watch(url)
  await chat.watched()
  await chat.goesOn(1500)
  await chat.finish()

  everyoneGotAll(t, chat)
  const [first = [], ...others] = chat.viewers.map(({ events }) => historyOf(events))
  t.ok(first.length > 50)
  for (const other of others) {
    const common = first.findIndex(({ id }) => id === other[0]?.id)
    t.not(common, -1, 'they have an id in common')
    t.equal(firstDifference(first.slice(common), other), undefined)
  }
  await stage.billed(t, chat)
})
