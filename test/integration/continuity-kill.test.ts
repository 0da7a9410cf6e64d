import t from 'tap'
import { NO_FAULTS } from '../fixtures/account.js'
import { everyoneGotAll, longestSilenceMs } from '../fixtures/chat.js'
import { startStage } from '../fixtures/stage.js'

const LONGEST_SILENCE_MS = 8000

t.test('when the sequencer is killed, a follower goes on, and neither its viewers nor those who come to it have lost anything', async (t) => {
  const stage = await startStage(t, { env: { LEASE_MS: '4000' } })
  const chat = stage.chat({ identicalEvery: 7 })
  for (const { url } of [...stage.pair(), ...stage.pair()]) chat.watch(url)
  await chat.watched()
  chat.talk(300)
  await chat.goesOn()

  const before = await stage.owned(chat.room)
  const follower = stage.pair().find((instance) => instance !== before.instance)?.url ?? ''
  const followers = chat.at(follower)
  chat.moveTo(follower, chat.at(before.instance.url))
  const killedAtMs = performance.now()
  t.equal(await stage.cluster.removeInstance(before.instance, 'SIGKILL'), null)
  t.equal((await stage.takenOver(chat.room, before)).instance.url, follower)
  await chat.goesOn()
  await chat.finish()

  everyoneGotAll(t, chat)
  t.ok(chat.viewers.every((viewer) => (viewer.connects === 1) === followers.includes(viewer)), 'only the viewers of the killed instance moved')
  for (const viewer of followers) {
    const silenceMs = longestSilenceMs(viewer, killedAtMs)
    t.ok(silenceMs < LONGEST_SILENCE_MS, `silent for ${Math.round(silenceMs)} ms`)
  }
  await stage.billed(t, chat)
})

t.test('when the only instance of a room is killed, its viewers are told of what they miss, and get the rest', async (t) => {
  const stage = await startStage(t)
  const [one, other] = stage.pair()
  const chat = stage.chat()
  for (let i = 0; i < 3; i++) chat.watch(one.url)
  await chat.watched()
  chat.talk()
  await chat.goesOn()

  const before = await stage.owned(chat.room)
  t.equal(before.instance, one)
  chat.moveTo(other.url, chat.viewers)
  await stage.cluster.removeInstance(one, 'SIGKILL')
  await stage.takenOver(chat.room, before)
  await chat.goesOn()
  await chat.finish()

  t.ok(chat.unheard > 0, 'some messages reached nobody')
  for (const { faults, missing, gaps } of chat.accounts()) {
    t.same(faults, NO_FAULTS)
    t.not(missing, '')
    t.not(gaps.length, 0)
  }
  t.same(chat.conflicts(), [], 'one history')
  await stage.billed(t, chat)
})
