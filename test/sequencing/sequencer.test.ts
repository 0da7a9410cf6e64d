import t from 'tap'
import { MemoryBroker } from '../../src/broker/memory-broker.js'
import { History } from '../../src/rooms/history.js'
import { Gate } from '../../src/sequencing/gate.js'
import { Membership } from '../../src/sequencing/membership.js'
import { Counters } from '../../src/counters.js'
import { FlushGovernor } from '../../src/flush-governor.js'
import { Sequencer } from '../../src/sequencing/sequencer.js'
import { eventually } from '../fixtures/eventually.js'
import { ManualClock } from '../fixtures/manual-clock.js'
import { recordLog } from '../fixtures/redis.js'

const ROOM_ID = '5f0c3a52-6c1d-4a3f-9d3e-0f6f1f0c9a11'

t.test('a room that is closed while it is just being taken is given up, so that nobody waits for its owner', async (t) => {
  const clock = new ManualClock()
  const { log } = recordLog()
  let answer: ((parked: string[]) => void) | undefined
  const broker = Object.assign(new MemoryBroker({ clock, endedTtlMs: 60_000, logTtlMs: 60_000 }), {
    readParked: async () => await new Promise<string[]>((resolve) => { answer = resolve })
  })
  const outlet = { onOpen: () => t.fail('it is open'), onSaid: () => t.fail('it says something'), flush () {}, isWriting: false, onEnded: () => t.fail('it has ended'), onSubscribed () {}, onInterrupted () {}, onViewers () {} }
  const sequencer = new Sequencer(ROOM_ID, new History(10, 10_000), outlet, {
    broker, membership: new Membership(broker, 4000, clock, log), gate: new Gate(1), governor: new FlushGovernor({ minIntervalMs: 50, maxIntervalMs: 50, clock, log }), counters: new Counters(), clock, log
  })
  sequencer.start()
  await eventually('the room is claimed', () => answer !== undefined)
  t.equal((await broker.claim(ROOM_ID, undefined, 0)).type, 'owned')
  await sequencer.close()
  answer?.([])
  t.equal((await broker.claim(ROOM_ID, undefined, 0)).type, 'claimed')
})
