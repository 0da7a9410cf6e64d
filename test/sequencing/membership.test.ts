import t from 'tap'
import type { Broker } from '../../src/broker/broker.js'
import { BrokerUnavailableError } from '../../src/broker/broker.js'
import { MemoryBroker } from '../../src/broker/memory-broker.js'
import { Membership } from '../../src/sequencing/membership.js'
import { ManualClock } from '../fixtures/manual-clock.js'
import { recordLog } from '../fixtures/redis.js'

const LEASE_MS = 4000
/** What of it is used. */
const USED_MS = 3000

/** A membership whose heartbeats are answered when the test says so. */
function create ({ connected = true } = {}) {
  const clock = new ManualClock()
  const { log, lines } = recordLog()
  const beats: Array<{ leaseMs: number, resolve (living: string[]): void, reject (error: Error): void }> = []
  const broker: Broker = Object.assign(new MemoryBroker({ clock, endedTtlMs: 1000, logTtlMs: 1000 }), {
    connected,
    beat: async (leaseMs: number) => await new Promise<string[]>((resolve, reject) => beats.push({ leaseMs, resolve, reject }))
  })
  const membership = new Membership(broker, LEASE_MS, clock, log)
  /** Lets go on what waited for an answer. */
  const settle = async () => await new Promise((resolve) => setImmediate(resolve))
  return {
    clock,
    lines,
    beats,
    membership,
    settle,
    async answer (...others: string[]) {
      beats.shift()?.resolve([broker.instance, ...others])
      await settle()
    },
    async fail () {
      beats.shift()?.reject(new BrokerUnavailableError('gone'))
      await settle()
    }
  }
}

t.test('before the first heartbeat is answered nothing is trusted', async (t) => {
  const { membership, beats, answer } = create()
  t.notOk(membership.holdsLease)
  membership.start()
  t.same(beats.map(({ leaseMs }) => leaseMs), [LEASE_MS])
  t.notOk(membership.holdsLease)
  await answer()
  t.ok(membership.holdsLease)
})

t.test('the lease counts from when the heartbeat was sent, and ends before others may take this instance for dead', async (t) => {
  const { membership, clock, answer } = create()
  membership.start()
  clock.advance(900)
  await answer()
  clock.advance(USED_MS - 900 - 1)
  t.ok(membership.holdsLease)
  clock.advance(1)
  t.notOk(membership.holdsLease)
})

t.test('an answer that comes too late gives no lease', async (t) => {
  const { membership, clock, answer } = create()
  membership.start()
  clock.advance(USED_MS)
  await answer()
  t.notOk(membership.holdsLease)
})

t.test('it beats often enough that one that is lost does no harm, one at a time', async (t) => {
  const { membership, clock, beats, answer, fail } = create()
  membership.start()
  await answer()
  const { lapses } = membership
  for (let beat = 0; beat < 20; beat++) {
    clock.advance(LEASE_MS / 4)
    t.equal(beats.length, 1)
    t.ok(membership.holdsLease)
    if (beat % 2 === 0) await fail()
    else await answer()
  }
  t.equal(membership.lapses, lapses)
  clock.advance(LEASE_MS * 10)
  t.equal(beats.length, 1, 'no second one before the first is answered')
})

t.test('a lease that ran out is a lapse, also when it is renewed', async (t) => {
  const { membership, clock, answer } = create()
  membership.start()
  await answer()
  const { lapses } = membership
  clock.advance(LEASE_MS / 4)
  clock.advance(LEASE_MS)
  await answer()
  await answer()
  t.ok(membership.lapses > lapses)
})

t.test('a renewal waits for the heartbeat that is under way, and tells when it failed', async (t) => {
  const { membership, beats, answer, fail } = create()
  membership.start()
  const renewals = [membership.renew(), membership.renew()]
  t.equal(beats.length, 1)
  await answer()
  await Promise.all(renewals)
  t.ok(membership.holdsLease)
  const failing = membership.renew()
  const rejected = t.rejects(failing, BrokerUnavailableError)
  await fail()
  await rejected
  t.ok(membership.holdsLease, 'what was granted still is')
})

t.test('an instance that hears nothing does not keep itself alive', async (t) => {
  const { membership, clock, beats } = create({ connected: false })
  membership.start()
  clock.advance(LEASE_MS * 3)
  t.same(beats, [])
})

t.test('others are known by the last answer, and joining is said once', async (t) => {
  const { membership, clock, lines, answer } = create()
  membership.start()
  await answer('b', 'c')
  t.same([...membership.others], ['b', 'c'])
  clock.advance(LEASE_MS / 4)
  await answer('c')
  t.same([...membership.others], ['c'])
  t.match(lines, [{ msg: 'joined the cluster', others: 2 }])
  t.equal(lines.length, 1)
})

t.test('who watches an instance is told that it is dead, at each beat, until it lives or is not watched', async (t) => {
  const { membership, clock, answer } = create()
  const told: string[] = []
  const watcher = (name: string) => ({ onOwnerDead: () => { told.push(name) } })
  const [first, second, ofOther] = [watcher('first'), watcher('second'), watcher('of other')]
  const nextBeat = async (...others: string[]) => {
    clock.advance(LEASE_MS / 4)
    await answer(...others)
    return told.splice(0)
  }
  membership.start()
  await answer('a', 'b')
  membership.watch('a', first)
  membership.watch('a', second)
  membership.watch('b', ofOther)
  t.same(await nextBeat('a', 'b'), [])
  t.same(await nextBeat('b'), ['first', 'second'])
  t.same(await nextBeat('b'), ['first', 'second'])
  membership.unwatch('a', first)
  membership.unwatch('a', first)
  t.same(await nextBeat('b'), ['second'])
  t.same(await nextBeat('a', 'b'), [])
  membership.unwatch('a', second)
  t.same(await nextBeat('b'), [])
})

t.test('a watcher may stop to watch, or watch another, while it is told', async (t) => {
  const { membership, answer } = create()
  const told: string[] = []
  const second = { onOwnerDead: () => { told.push('second') } }
  const first = {
    onOwnerDead () {
      told.push('first')
      membership.unwatch('a', first)
      membership.watch('z', first)
    }
  }
  membership.watch('a', first)
  membership.watch('a', second)
  membership.start()
  await answer()
  t.same(told, ['first', 'second'])
})

t.test('a heartbeat that failed tells nobody that anybody is dead', async (t) => {
  const { membership, fail } = create()
  const told: string[] = []
  membership.watch('a', { onOwnerDead: () => { told.push('a') } })
  membership.start()
  await fail()
  t.same(told, [])
})

t.test('closing says so after the last heartbeat, and ends the lease and the beating', async (t) => {
  const { membership, clock, beats, answer, settle } = create()
  membership.start()
  const closing = membership.close()
  t.equal(beats.length, 1)
  await answer('b')
  t.notOk(membership.holdsLease, 'an answer from before gives no lease any more')
  t.same(beats.map(({ leaseMs }) => leaseMs), [0])
  await answer()
  await closing
  clock.advance(LEASE_MS * 3)
  await settle()
  t.same(beats, [])
  t.equal(clock.timers, 0)
})

t.test('closing needs no broker', async (t) => {
  const { membership, beats } = create({ connected: false })
  membership.start()
  await membership.close()
  t.same(beats, [])
  const failing = create()
  failing.membership.start()
  const closing = failing.membership.close()
  await failing.fail()
  await failing.fail()
  await closing
  t.notOk(failing.membership.holdsLease)
})
