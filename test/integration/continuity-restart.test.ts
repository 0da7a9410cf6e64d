import t from 'tap'
import { everyoneGotAll } from '../fixtures/chat.js'
import { startStage } from '../fixtures/stage.js'

t.test('while all instances are replaced one after another, five rooms chat on, and no viewer notices', async (t) => {
  const stage = await startStage(t, { instances: 3 })
  const { cluster } = stage
  const chats = Array.from({ length: 5 }, () => stage.chat({ identicalEvery: 7 }))
  for (const chat of chats) for (let i = 0; i < 4; i++) chat.watch(cluster.url)
  for (const chat of chats) await chat.watched()
  for (const chat of chats) chat.talk(40)
  const allGoOn = async () => await Promise.all(chats.map((chat) => chat.goesOn()))
  await allGoOn()
  const before = await Promise.all(chats.map(({ room }) => stage.owned(room)))

  for (const old of [...cluster.instances]) {
    await cluster.addInstance()
    t.equal(await cluster.removeInstance(old), 0)
    await allGoOn()
  }

  for (const [index, chat] of chats.entries()) {
    await chat.finish()
    everyoneGotAll(t, chat)
    t.equal(chat.unheard, 0, 'there was always somebody to hear')
    t.ok(chat.viewers.every(({ connects }) => connects > 1), 'everyone had to move')
    const { instance, term } = await stage.owned(chat.room)
    t.ok(cluster.instances.includes(instance), 'a new instance has the room')
    t.ok(term > (before[index]?.term ?? term), 'under a new term')
  }
  await stage.billed(t, ...chats)
})

t.test('an instance that stops keeps the room of its only viewer until that one is back elsewhere', async (t) => {
  // As long as it is by default, for it is what the instance has to wait for.
  const stage = await startStage(t, { env: { RETRY_MS: '2000' } })
  const [leaving, staying] = stage.pair()
  const chats = Array.from({ length: 5 }, () => stage.chat({ identicalEvery: 7 }))
  for (const chat of chats) {
    chat.watch(leaving.url)
    await chat.watched()
    chat.talk()
  }
  for (const chat of chats) await chat.goesOn()
  for (const chat of chats) t.equal((await stage.owned(chat.room)).instance, leaving)

  for (const chat of chats) chat.moveTo(staying.url, chat.viewers)
  t.equal(await stage.cluster.removeInstance(leaving), 0)
  for (const chat of chats) {
    await chat.goesOn()
    await chat.finish()
    everyoneGotAll(t, chat)
    t.equal(chat.unheard, 0, 'there was always somebody to hear')
    t.equal((await stage.owned(chat.room)).instance, staying)
  }
  await stage.billed(t, ...chats)
})
