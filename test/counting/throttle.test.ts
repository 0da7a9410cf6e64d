import t from 'tap'
import { Throttle } from '../../src/counting/throttle.js'
import { ManualClock } from '../fixtures/manual-clock.js'

function create ({ isWanted = () => true }: { isWanted?: (item: string) => boolean } = {}) {
  const clock = new ManualClock()
  const acts: Array<readonly string[]> = []
  const throttle = new Throttle<string>(clock, { gatherMs: 200, restMs: 5000 }, (items) => {
    acts.push(items)
    return items.filter(isWanted)
  })
  return { clock, acts, throttle }
}

t.test('what is requested is gathered, and done once', (t) => {
  const { clock, acts, throttle } = create()
  for (const item of ['a', 'b', 'a']) throttle.request(item)
  clock.advance(199)
  t.same(acts, [])
  clock.advance(1)
  t.same(acts, [['a', 'b']])
  clock.advance(100_000)
  t.equal(acts.length, 1)
  t.equal(clock.timers, 0, 'no timer runs for nothing')
  t.end()
})

t.test('what was done rests, and is done once afterwards however often it was requested', (t) => {
  const { clock, acts, throttle } = create()
  throttle.request('a')
  clock.advance(200)
  for (let count = 0; count < 40; count++) {
    throttle.request('a')
    clock.advance(100)
  }
  throttle.request('b')
  clock.advance(200)
  t.same(acts, [['a'], ['b']])
  clock.advance(2000)
  t.same(acts, [['a'], ['b'], ['a']])
  clock.advance(100_000)
  t.equal(acts.length, 3)
  t.end()
})

t.test('what needed nothing does not rest', (t) => {
  let isWanted = false
  const { clock, acts, throttle } = create({ isWanted: () => isWanted })
  throttle.request('a')
  clock.advance(200)
  isWanted = true
  throttle.request('a')
  clock.advance(200)
  t.same(acts, [['a'], ['a']])
  t.end()
})

t.test('very many are done in parts, one after the other', (t) => {
  const { clock, acts, throttle } = create()
  const items = Array.from({ length: 1201 }, (_, index) => String(index))
  for (const item of items) throttle.request(item)
  clock.advance(200)
  t.equal(acts.length, 1)
  clock.advance(1000)
  t.same(acts.map(({ length }) => length), [500, 500, 201])
  t.same(acts.flat(), items)
  t.end()
})

t.test('what is forgotten is not done', (t) => {
  const { clock, acts, throttle } = create()
  throttle.request('a')
  throttle.delete('a')
  clock.advance(1000)
  t.same(acts.flat(), [])
  throttle.request('b')
  throttle.clear()
  clock.advance(10_000)
  t.same(acts.flat(), [])
  t.equal(clock.timers, 0)
  t.end()
})
