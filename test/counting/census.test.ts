import t from 'tap'
import { MemoryBroker } from '../../src/broker/memory-broker.js'
import type { ViewerReport } from '../../src/broker/viewer-board.js'
import { Census } from '../../src/counting/census.js'
import { Membership } from '../../src/sequencing/membership.js'
import { ManualClock } from '../fixtures/manual-clock.js'
import { recordLog } from '../fixtures/redis.js'

const ROOM = '5f0c3a52-6c1d-4a3f-9d3e-0f6f1f0c9a11'
const RENEW_MS = 21_600_000

/** A room whose viewers a test counts, at an instance that shares the board with others: what they say, the test says. */
async function create ({ isTold = true } = {}) {
  const clock = new ManualClock()
  const { log } = recordLog()
  const state = { living: ['me'], isAway: false, board: new Map<string, number>() }
  const posted: ViewerReport[] = []
  const broker = Object.assign(new MemoryBroker({ clock, endedTtlMs: 60_000, logTtlMs: 60_000 }), {
    instance: 'me',
    beat: async () => state.isAway ? await Promise.reject(new Error('away')) : state.living,
    post: async (reports: readonly ViewerReport[]) => {
      if (state.isAway) throw new Error('away')
      for (const report of reports) {
        posted.push(report)
        for (const instance of report.dead) state.board.delete(instance)
        if (report.viewers > 0) state.board.set('me', report.viewers)
        else state.board.delete('me')
      }
      headcount.onViewers(new Map(state.board))
    }
  })
  const membership = new Membership(broker, 4000, clock, log)
  membership.start()
  await membership.renew()
  const census = new Census(broker, membership, isTold, clock)
  const told: Array<number | undefined> = []
  const audience = {
    size: 0,
    show (notice: Buffer | undefined) { told.push(notice && (JSON.parse(notice.toString().split('data:')[1] ?? '') as { count: number }).count) }
  }
  const headcount = census.open(ROOM, audience)
  headcount.onSubscribed()
  return {
    clock,
    census,
    headcount,
    state,
    posted,
    told,
    audience,
    /** Viewers come, or go. */
    change (by: number) {
      for (let count = 0; count < by; count++) {
        headcount.onJoining()
        audience.size++
        headcount.onChanged()
      }
      if (by < 0) audience.size += by
      headcount.onChanged()
    },
    /** Another instance says how many it has. */
    hear (instance: string, viewers: number) {
      state.board.set(instance, viewers)
      headcount.onViewers(new Map(state.board))
    },
    /** Lets time pass in steps, so that heartbeats are answered. */
    async pass (ms: number) {
      for (let left = ms; left > 0; left -= 100) {
        clock.advance(Math.min(left, 100))
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
    viewersPosted: () => posted.map(({ viewers }) => viewers)
  }
}

t.test('a storm of viewers is posted and told once per interval', async (t) => {
  const { change, pass, told, viewersPosted } = await create()
  change(1)
  await pass(500)
  t.same([viewersPosted(), told], [[1], [undefined, 1]])
  for (let count = 0; count < 50; count++) {
    change(100)
    await pass(100)
  }
  await pass(6000)
  t.ok(viewersPosted().length <= 6, `${viewersPosted()}`)
  t.ok(told.length <= 5, `${told}`)
  t.same([viewersPosted().at(-1), told.at(-1)], [5001, 5001])
})

t.test('nothing is said while nothing changes, and no number twice', async (t) => {
  const { change, pass, told, posted } = await create()
  change(2)
  await pass(10_000)
  change(1)
  change(-1)
  await pass(20_000)
  change(1)
  await pass(2000)
  change(-1)
  await pass(20_000)
  t.same(told.slice(1), [2, 3, 2])
  t.equal(posted.length, 3)
})

t.test('the first viewer of a room that was open is told with its head what is known', async (t) => {
  const { change, pass, told, hear, state } = await create()
  state.living = ['me', 'other']
  change(1)
  await pass(10_000)
  change(-1)
  await pass(3000)
  hear('other', 4)
  change(1)
  t.same(told.slice(1), [1, 5])
  await pass(10_000)
  t.same(told.slice(1), [1, 5], 'and not again')
})

t.test('the numbers of the others count, until they are found dead: then they are struck', async (t) => {
  const { change, pass, told, hear, state, posted } = await create()
  state.living = ['me', 'a', 'b']
  change(1)
  hear('a', 10)
  hear('b', 100)
  await pass(6000)
  t.equal(told.at(-1), 111)
  state.living = ['me', 'b']
  await pass(6500)
  t.equal(told.at(-1), 101)
  t.same(posted.at(-1), { roomId: ROOM, viewers: 1, dead: ['a'] })
  const { length } = posted
  await pass(20_000)
  t.equal(posted.length, length, 'once')
  state.living = ['me', 'b', 'a']
  await pass(2000)
  hear('a', 10)
  await pass(6000)
  t.equal(told.at(-1), 111, 'it lives after all')
})

t.test('who was taken for dead although it lives, or whose number Redis has lost, says it again', async (t) => {
  const { change, pass, told, hear, state } = await create()
  state.living = ['me', 'a']
  change(2)
  hear('a', 1)
  await pass(6000)
  state.board.delete('me')
  hear('a', 5)
  await pass(6000)
  t.same(state.board, new Map([['a', 5], ['me', 2]]))
  t.equal(told.at(-1), 7)
})

t.test('while the instance is out of touch nothing is said; what has changed is said afterwards', async (t) => {
  const { change, pass, told, hear, state, posted } = await create()
  state.living = ['me', 'a']
  change(2)
  hear('a', 1)
  await pass(6000)
  state.isAway = true
  await pass(6000)
  const before = [told.length, posted.length]
  change(3)
  await pass(20_000)
  t.same([told.length, posted.length], before)
  state.isAway = false
  await pass(7000)
  t.same([told.at(-1), posted.at(-1)?.viewers], [6, 5])
})

t.test('after an interruption nothing is told until the others were heard again', async (t) => {
  const { change, pass, told, hear, headcount, state, posted } = await create()
  state.living = ['me', 'a']
  change(2)
  hear('a', 1)
  await pass(6000)
  t.equal(told.at(-1), 3)
  headcount.onInterrupted()
  state.board.clear()
  change(1)
  await pass(10_000)
  t.equal(told.at(-1), 3)
  headcount.onSubscribed()
  await pass(500)
  t.same([told.at(-1), posted.at(-1)?.viewers], [3, 3])
  hear('a', 1)
  await pass(6000)
  t.equal(told.at(-1), 4)
})

t.test('of a room that is given up nothing stays, also if Redis is away just then', async (t) => {
  const { change, pass, headcount, audience, state } = await create()
  change(2)
  await pass(3000)
  state.isAway = true
  headcount.close()
  audience.size = 0
  await pass(10_000)
  t.ok(state.board.has('me'))
  state.isAway = false
  await pass(5000)
  t.notOk(state.board.has('me'))
})

t.test('an instance that stops takes back what it has said', async (t) => {
  const { change, pass, headcount, census, state } = await create()
  change(2)
  await pass(3000)
  headcount.close()
  await census.close()
  t.notOk(state.board.has('me'))
})

t.test('what never changes is said again before it is forgotten', async (t) => {
  const { change, clock, pass, posted, told } = await create()
  change(2)
  await pass(3000)
  clock.advance(RENEW_MS * 1.02)
  await pass(6000)
  t.same(posted.map(({ viewers }) => viewers), [2, 2])
  t.same(told.slice(1), [2], 'and not told again')
})

t.test('viewers are not told when that is off, but other instances are', async (t) => {
  const { change, pass, told, viewersPosted } = await create({ isTold: false })
  change(3)
  await pass(10_000)
  t.same([told.filter((count) => count !== undefined), viewersPosted()], [[], [3]])
})
