import t from 'tap'
import { Turnstile } from '../src/turnstile.js'
import { ManualClock } from './fixtures/manual-clock.js'

t.test('so many pass in each turn, in their order, and nobody waits without need', async (t) => {
  const clock = new ManualClock()
  const turnstile = new Turnstile(clock, 3)
  const passed: number[] = []
  const come = (n: number) => turnstile.pass(() => passed.push(n))
  for (let n = 1; n <= 8; n++) come(n)
  t.same(passed, [1, 2, 3])
  clock.turn()
  come(9)
  t.same(passed, [1, 2, 3, 4, 5, 6], 'who comes later waits behind those who wait')
  clock.turn()
  t.same(passed, [1, 2, 3, 4, 5, 6, 7, 8, 9])
  clock.turn()
  clock.turn()
  come(10)
  t.equal(passed.at(-1), 10)
})

t.test('what one of them throws keeps the others waiting for no longer than a turn', async (t) => {
  const clock = new ManualClock()
  const turnstile = new Turnstile(clock, 3)
  const passed: number[] = []
  for (let n = 1; n <= 8; n++) {
    turnstile.pass(() => {
      if (n === 5) throw new Error('no')
      passed.push(n)
    })
  }
  t.throws(() => clock.turn(), { message: 'no' })
  clock.turn()
  clock.turn()
  t.same(passed, [1, 2, 3, 4, 6, 7, 8])
  t.equal(turnstile.waiting, 0)
})

t.test('who passes may make another one come', async (t) => {
  const clock = new ManualClock()
  const turnstile = new Turnstile(clock, 2)
  const passed: number[] = []
  const come = (n: number) => turnstile.pass(() => {
    passed.push(n)
    if (n < 10) come(n + 10)
  })
  for (let n = 1; n <= 4; n++) come(n)
  t.same(passed, [1, 11])
  for (let turn = 0; turn < 3; turn++) clock.turn()
  t.same(passed, [1, 11, 2, 3, 4, 12, 13, 14])
})
