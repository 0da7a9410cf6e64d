import { readFileSync } from 'node:fs'
import t from 'tap'
import type { Instance } from '../../deploy/local-cluster/cluster.js'
import { firstDifference, historyOf } from '../fixtures/account.js'
import { eventually } from '../fixtures/eventually.js'
import { everyoneGotAll, lastNumber, watchUrl } from '../fixtures/chat.js'
import { SseStream } from '../fixtures/sse-stream.js'
import { startStage } from '../fixtures/stage.js'

const RECENT = 500

/** https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: the state follows the name, which is in brackets. */
function isStopped ({ process }: Instance): boolean {
  return /\) T /.test(readFileSync(`/proc/${process.pid}/stat`, 'latin1'))
}

t.test('a sequencer that was stopped, lost its rooms, and wakes up writes nothing of its own, and loses nothing', async (t) => {
  const stage = await startStage(t)
  const chat = stage.chat({ identicalEvery: 7 })
  for (const { url } of [...stage.pair(), ...stage.pair()]) chat.watch(url)
  await chat.watched()
  chat.talk(100)
  await chat.goesOn()

  const before = await stage.owned(chat.room)
  const zombie = before.instance
  zombie.process.signal('SIGSTOP')
  await eventually('the sequencer is stopped', () => isStopped(zombie))
  const { instance: heir } = await stage.takenOver(chat.room, before)
  await chat.goesOn(RECENT / 2, chat.at(heir.url))
  t.ok(isStopped(zombie))
  const news = Math.min(...chat.at(heir.url).map(lastNumber))
  t.ok(chat.at(zombie.url).every((viewer) => lastNumber(viewer) < news), 'its viewers have heard nothing meanwhile')
  zombie.process.signal('SIGCONT')
  await chat.goesOn(RECENT)
  await chat.finish()
  everyoneGotAll(t, chat)

  const latest = Array.from({ length: RECENT }, (_, index) => chat.textOf(chat.count - RECENT + 1 + index)).join('\n')
  const [ofZombie = [], ofHeir = []] = await Promise.all([zombie, heir].map(async ({ url }) => {
    const stream = await SseStream.open(watchUrl(url, chat.room, `?recent=${RECENT}`))
    t.teardown(() => stream.close())
    t.equal((await stream.untilMessages(RECENT)).join('\n'), latest)
    return historyOf(stream.events)
  }))
  t.equal(firstDifference(ofZombie, ofHeir), undefined, 'both have the same history')
  await stage.billed(t, chat)
})
