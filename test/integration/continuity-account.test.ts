import t from 'tap'
import { accountOf, ALL_RECEIVED, conflictsOf, NO_FAULTS, type Script } from '../fixtures/account.js'
import { startStage } from '../fixtures/stage.js'

// The other continuity tests say that nothing went wrong: here is shown that they would notice.

/** Messages 1 to 12, of which each fourth has the same text, and message 11 may never have been published. */
const script: Script = {
  count: 12,
  textOf: (n) => n % 4 === 0 ? 'same' : `message ${n}`,
  isCertain: (n) => n !== 11
}
const all = Array.from({ length: script.count }, (_, index) => index + 1)

/** Each message in a batch of its own; 'gap' stands for a gap. */
const received = (numbers: ReadonlyArray<number | 'gap'>, stream = 1) => numbers.map((n, index) => ({
  id: `7-${index + 1}`,
  event: n === 'gap' ? 'gap' : '',
  data: n === 'gap' ? '{"reason":"test"}' : JSON.stringify([script.textOf(n)]),
  atMs: 0,
  stream
}))

t.test('who got all in order has no faults, also without a message that was perhaps not published', async (t) => {
  t.same(accountOf(script, received(all), 1), ALL_RECEIVED)
  t.same(accountOf(script, received(all.filter((n) => n !== 11)), 1), ALL_RECEIVED)
  for (const first of all.slice(0, -2)) t.same(accountOf(script, received(all.slice(first))), ALL_RECEIVED, `without ${first} and those before it, for one who came late`)
})

t.test('a lost message is found, wherever it stood', async (t) => {
  for (const lost of all.filter(script.isCertain)) {
    const { faults } = accountOf(script, received(all.filter((n) => n !== lost)), 1)
    if (lost % 4 !== 0) t.same(faults, { ...NO_FAULTS, lost: String(lost) })
    else t.not(faults.lost, '', `number ${lost}, one of several with its text`)
  }
  t.same(accountOf(script, [], 1).faults.lost, '1..10 12')
})

t.test('a doubled message is found', async (t) => {
  for (const doubled of all) {
    const { faults } = accountOf(script, received([...all.slice(0, doubled), ...all.slice(doubled - 1)]), 1)
    if (doubled % 4 !== 0) t.same(faults, { ...NO_FAULTS, doubled: String(doubled) })
    else t.notSame(faults, NO_FAULTS, `number ${doubled}, one of several with its text`)
  }
})

t.test('a message in the wrong place is found', async (t) => {
  for (const n of all.slice(0, -1)) {
    const swapped = all.map((each) => each === n ? n + 1 : each === n + 1 ? n : each)
    t.notSame(accountOf(script, received(swapped), 1).faults, NO_FAULTS, `${n} after ${n + 1}`)
  }
  t.same(accountOf(script, received([2, 1, 3]), 1).faults.reordered, '1')
})

t.test('a message that nobody published is found', async (t) => {
  const foreign = { ...received([1])[0], id: '7-9', event: '', data: '["message 13"]', atMs: 0, stream: 1 }
  t.same(accountOf(script, [...received(all), foreign], 1).faults.foreign, ['message 13'])
})

t.test('a gap covers what is missing where it stands, and nothing else', async (t) => {
  const { faults, missing, gaps } = accountOf(script, received([1, 2, 'gap', 5, 6, 7, 8, 10, 11, 12]), 1)
  t.same({ faults, missing }, { faults: { ...NO_FAULTS, lost: '9' }, missing: '3..4' })
  t.equal(gaps.length, 1)
  t.same(accountOf(script, received([1, 2, 'gap']), 1).missing, '3..10 12', 'to the end')
  t.same(accountOf(script, received(['gap', 'gap', 5, 6, 7, 8, 9, 10, 11, 12]), 1).missing, '1..4', 'from the beginning')
})

t.test('ids that go back are found: terms count more than numbers, and are compared as numbers', async (t) => {
  const withIds = (...ids: string[]) => received([1, 2]).map((event, index) => ({ ...event, id: ids[index] ?? '' }))
  t.same(accountOf(script, withIds('9-5', '10-1')).faults.backwards, [])
  t.same(accountOf(script, withIds('10-1', '9-5')).faults.backwards, ['9-5 after 10-1'])
  t.same(accountOf(script, withIds('9-5', '9-4')).faults.backwards, ['9-4 after 9-5'])
})

t.test('two histories are found, and the rest of a batch is none', async (t) => {
  const batch = (id: string, ...texts: string[]) => ({ id, event: '', data: JSON.stringify(texts), atMs: 0, stream: 1 })
  const whole = [batch('1-2', 'a', 'b'), batch('1-4', 'c', 'd'), batch('1-5', 'e')]
  const withSecond = (second: ReturnType<typeof batch>) => conflictsOf([whole, whole.with(1, second)])
  t.same(withSecond(batch('1-4', 'c', 'd')), [])
  t.same(withSecond(batch('1-4', 'd')), [], 'the rest')
  t.same(withSecond(batch('2-4', 'd', 'c')), [], 'another id')
  for (const texts of [['d', 'c'], ['c'], ['x'], ['xd'], ['x', 'd'], ['b', 'c', 'd', 'e']]) t.same(withSecond(batch('1-4', ...texts)), ['1-4'], texts.join())
})

t.test('one instance, to which nothing happens, gives every viewer every message', async (t) => {
  const stage = await startStage(t, { instances: 1 })
  const chat = stage.chat({ identicalEvery: 7 })
  for (let i = 0; i < 3; i++) chat.watch(stage.cluster.url)
  await chat.watched()
  chat.talk(500)
  await chat.goesOn(1000)
  const late = chat.watch(stage.cluster.url)
  await chat.goesOn(500)
  await chat.finish()
  t.same(chat.accounts(), Array(4).fill(ALL_RECEIVED))
  t.same(chat.conflicts(), [])
  t.equal(chat.unheard, 0)
  t.ok(late.events.length < chat.count)
})
