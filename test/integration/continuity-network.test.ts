import t from 'tap'
import { everyoneGotAll, lastNumber } from '../fixtures/chat.js'
import { startStage } from '../fixtures/stage.js'
import { TcpProxy } from '../fixtures/tcp-proxy.js'

const mends = [
  { what: 'lets all through that was held back', redisTimeoutMs: 60_000, mend: (proxy: TcpProxy) => proxy.heal() },
  { what: 'works again after the instance has given its connections up', redisTimeoutMs: 2000, mend: (proxy: TcpProxy) => proxy.heal() },
  { what: 'has broken all connections', redisTimeoutMs: 60_000, mend: (proxy: TcpProxy) => proxy.reset() }
]

for (const { what, redisTimeoutMs, mend } of mends) {
  t.test(`an instance was cut off from Redis, and the network ${what}: its viewers get all, whether it owned their room or followed`, async (t) => {
    const stage = await startStage(t, { instances: 1 })
    const proxy = await TcpProxy.start(t, stage.cluster.redis.port)
    await stage.cluster.addInstance({ REDIS_PORT: String(proxy.port), REDIS_TIMEOUT_MS: String(redisTimeoutMs) })
    const [near, far] = stage.pair()

    /** Who comes first owns the room. */
    const startChat = async (owner: typeof near, follower: typeof near) => {
      const chat = stage.chat({ identicalEvery: 7 })
      chat.watch(owner.url)
      await chat.watched()
      const before = await stage.owned(chat.room)
      t.equal(before.instance, owner)
      chat.watch(follower.url)
      await chat.watched()
      chat.talk(100)
      await chat.goesOn()
      return { chat, before }
    }
    const owning = await startChat(far, near)
    const following = await startChat(near, far)
    const chats = [owning.chat, following.chat]

    proxy.cut()
    const said = chats.map(({ count }) => count)
    await stage.takenOver(owning.chat.room, owning.before)
    for (const chat of chats) await chat.goesOn(100, chat.at(near.url))
    for (const [index, chat] of chats.entries()) {
      t.ok(chat.at(far.url).every((viewer) => lastNumber(viewer) <= (said[index] ?? 0)), 'the viewers of the cut instance heard nothing of what was said after the cut')
    }
    mend(proxy)

    for (const chat of chats) {
      await chat.goesOn()
      await chat.finish()
      everyoneGotAll(t, chat)
    }
    await stage.billed(t, ...chats)
    t.equal((await stage.owned(following.chat.room)).instance, near, 'the owner that was not cut off kept its room')
  })
}
