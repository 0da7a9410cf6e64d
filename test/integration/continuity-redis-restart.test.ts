import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { NO_FAULTS } from '../fixtures/account.js'
import { startStage } from '../fixtures/stage.js'

for (const [howLong, outageMs] of [['for a moment', 0], ['for longer than a lease', 6000]] as const) {
  t.test(`when Redis was away ${howLong} and comes back empty, everyone is told of a gap, goes on, and no id goes back`, async (t) => {
    const stage = await startStage(t)
    const { redis } = stage.cluster
    const chat = stage.chat()
    for (const { url } of [...stage.pair(), ...stage.pair()]) chat.watch(url)
    await chat.watched()
    chat.talk(100)
    await chat.goesOn()

    const before = await stage.owned(chat.room)
    await redis.kill()
    await pause(outageMs)
    await redis.restart()
    await chat.goesOn(100)
    await chat.finish()

    for (const { faults, gaps } of chat.accounts()) {
      t.same(faults, NO_FAULTS)
      t.not(gaps.length, 0)
    }
    t.same(chat.conflicts(), [], 'one history')
    t.ok((await stage.owned(chat.room)).term > before.term, 'a new term')
  })
}
