import t from 'tap'
import { HeardQueue, isOfType, MAX_HEARD_LENGTH, type Item } from '../../src/sequencing/heard-queue.js'

const hole: Item = { type: 'hole', reason: 'broker-reconnect' }
const end: Item = { type: 'end', payload: '{}' }
const mark = (word: string): Item => ({ type: 'mark', instance: 'other', word })

/** A queue that holds these, the first message after number `base`. */
function create (base: number | undefined, ...items: Item[]) {
  const queue = new HeardQueue()
  if (base !== undefined) queue.startAfter(base)
  for (const item of items) queue.push(item)
  return queue
}

/** Takes out all there is: messages as they are, other items by their type. */
function drain (queue: HeardQueue) {
  const names: string[] = []
  for (let { first } = queue; first !== undefined; { first } = queue) {
    names.push(typeof first === 'string' ? first : `<${first.type}>`)
    queue.shift()
  }
  return names
}

t.test('an empty queue has nothing, and nothing is known of it', async (t) => {
  const queue = create(undefined)
  t.match({ size: queue.size, length: queue.length, hasHole: queue.hasHole }, { size: 0, length: 0, hasHole: false })
  t.same([queue.first, queue.base, queue.takeMessages(100)], [undefined, undefined, []])
  queue.shift()
  t.equal(queue.length, 0)
})

t.test('messages are taken in their order, up to what is none, and numbered on the way', async (t) => {
  const queue = create(10, 'a', 'b', mark('1'), 'c', hole, 'd', end)
  t.same(queue.takeMessages(1000), ['a', 'b'])
  t.equal(queue.base, 12)
  t.same(queue.takeMessages(1000), [], 'a mark stands before the next')
  queue.shift()
  t.equal(queue.base, 12, 'a mark has no number')
  t.same(queue.takeMessages(1000), ['c'])
  t.equal(queue.base, 13)
  t.ok(queue.hasHole)
  t.same(drain(queue), ['<hole>', 'd', '<end>'])
})

t.test('messages are taken until they are long enough, at least one', async (t) => {
  const large = 'x'.repeat(1000)
  const queue = create(0, large, large, large, '', '')
  t.same(queue.takeMessages(1), [large])
  t.same(queue.takeMessages(1500), [large, large])
  t.same(queue.takeMessages(1), [''], 'an empty message counts too')
  t.same([queue.base, queue.size], [4, 1])
})

t.test('the length counts what is in it, whatever was done', async (t) => {
  const queue = create(0, 'aaaa', 'bb', mark('1'), hole, 'cc', end)
  const { length } = queue
  const taken = queue.takeMessages(1000)
  t.ok(queue.length < length)
  queue.putBack(taken)
  t.equal(queue.length, length)
  drain(queue)
  t.equal(queue.length, 0)
  queue.push('x')
  queue.clear()
  t.same([queue.length, queue.size, queue.base], [0, 0, undefined])
})

t.test('what is put back gets its numbers again', async (t) => {
  const queue = create(5, 'c')
  queue.putBack([hole, 'a', 'b'])
  t.equal(queue.base, 3)
  t.same(drain(queue), ['<hole>', 'a', 'b', 'c'])
})

t.test('holes that nothing stands between are one', async (t) => {
  const queue = create(0, 'a')
  queue.pushHole('broker-reconnect')
  queue.pushHole('overflow')
  queue.push('b')
  queue.pushHole('broker-reconnect')
  t.same(drain(queue), ['a', '<hole>', 'b', '<hole>'])
})

t.test('past the bound all is given up for a hole, but not the end, and it goes on', async (t) => {
  const queue = create(7)
  const large = 'x'.repeat(MAX_HEARD_LENGTH / 4)
  for (const item of [large, large, end, large]) t.ok(queue.push(item))
  t.notOk(queue.push(large))
  t.ok(queue.length < 1000)
  t.ok(queue.push('after'))
  t.ok(isOfType(queue.first, 'hole') && queue.first.reason === 'overflow')
  t.same(drain(queue), ['<hole>', '<end>', 'after'])
})

t.test('empty messages cannot fill it without end', async (t) => {
  const queue = create(0)
  let pushed = 0
  while (queue.push('') && pushed <= MAX_HEARD_LENGTH) pushed++
  t.ok(pushed < MAX_HEARD_LENGTH / 10, String(pushed))
})

t.test('the owner\'s answer to a mark tells where the queue begins', async (t) => {
  const queue = create(undefined, 'a', mark('1'), 'b', mark('2'), 'c')
  queue.startAfterMark('2', 42)
  t.equal(queue.base, 42)
  t.same(drain(queue), ['c'])
  t.equal(queue.base, 43)
})

t.test('an answer that says what was known changes nothing: what stands before the mark may not be logged yet', async (t) => {
  const queue = create(40, 'a', mark('1'), 'b', mark('2'), 'c')
  queue.startAfterMark('2', 42)
  t.equal(queue.base, 40)
  t.same(drain(queue), ['a', '<mark>', 'b', 'c'])
  t.equal(queue.length, 0)
})

t.test('an answer that says otherwise counts', async (t) => {
  const items: Item[][] = [['a', 'b', mark('2'), 'c'], ['a', hole, 'b', mark('2'), 'c']]
  for (const [index, n] of [43, 42].entries()) {
    const queue = create(40, ...items[index] ?? [])
    queue.startAfterMark('2', n)
    t.equal(queue.base, n)
    t.same(drain(queue), ['c'])
  }
})

t.test('an answer to a mark that is not there changes nothing', async (t) => {
  const queue = create(undefined, 'a', mark('1'), 'b')
  queue.startAfterMark('9', 42)
  t.same([queue.base, queue.size], [undefined, 3])
})

t.test('what is logged is struck from the head', async (t) => {
  const queue = create(10, 'a', mark('1'), 'b', 'c')
  t.ok(queue.strike(['a', 'b'], 12))
  t.equal(queue.base, 12)
  t.same(drain(queue), ['c'])
})

t.test('what was struck before is not struck again, nor its like', async (t) => {
  const queue = create(10, 'x', 'x', 'x')
  t.ok(queue.strike(['x', 'x'], 11), 'the batch begins before the queue')
  t.equal(queue.base, 11)
  t.ok(queue.strike(['x', 'x'], 11), 'all of it is before the queue')
  t.ok(queue.strike(['x'], 3))
  t.same([queue.base, queue.size], [11, 2])
})

t.test('where others were heard than are logged, it is no longer known where the queue begins', async (t) => {
  for (const items of [['b', 'a'], ['a'], ['a', end, 'b'], []]) {
    const queue = create(10, ...items)
    t.notOk(queue.strike(['a', 'b'], 12), JSON.stringify(items))
    t.equal(queue.base, undefined)
  }
  const queue = create(10, 'a', hole, 'c')
  t.ok(queue.strike(['a', 'b'], 12), 'a hole says that something was not heard')
  t.equal(queue.base, undefined)
  t.same(drain(queue), ['<hole>', 'c'])
})

t.test('where the queue begins is not known, nothing is struck', async (t) => {
  const queue = create(undefined, 'a')
  t.ok(queue.strike(['a'], 1))
  t.equal(queue.size, 1)
})

t.test('messages are dropped up to a number, together with the marks between them', async (t) => {
  const queue = create(10, 'a', mark('1'), 'b', mark('2'), 'c')
  queue.dropUpTo(12)
  t.equal(queue.base, 12)
  queue.dropUpTo(5)
  t.same(drain(queue), ['<mark>', 'c'])
})

t.test('dropping stops at a hole and at the end of what was heard', async (t) => {
  for (const rest of [[hole, 'b'], [end], []]) {
    const queue = create(10, 'a', ...rest)
    queue.dropUpTo(12)
    t.same([queue.base, queue.size], [undefined, rest.length])
  }
})

t.test('the longest run at the head with which the log ends is struck', async (t) => {
  const cases: Array<[heard: Item[], logged: string[], left: string[]]> = [
    [['a', 'b', 'c'], ['x', 'a', 'b'], ['c']],
    [['a', 'a', 'b'], ['a', 'a'], ['b']],
    [['a', 'b'], ['a', 'b', 'c'], ['a', 'b']],
    [['a', mark('1'), 'b', 'c'], ['a', 'b'], ['c']],
    [['b', 'c'], ['a'], ['b', 'c']],
    [['a'], [], ['a']],
    [[], ['a'], []],
    [[hole, 'b'], ['a', 'b'], []]
  ]
  for (const [heard, logged, left] of cases) {
    const queue = create(undefined, ...heard)
    queue.strikeOverlap(logged)
    t.same(drain(queue), left, `${JSON.stringify(heard)} on ${JSON.stringify(logged)}`)
  }
})

t.test('a queue that begins with a hole says so once', async (t) => {
  const queue = create(undefined, 'a')
  queue.beginWithHole('sequencer-lost', 20)
  queue.beginWithHole('room-idle', 20)
  t.equal(queue.base, 20)
  t.ok(isOfType(queue.first, 'hole') && queue.first.reason === 'sequencer-lost')
  t.same(drain(queue), ['<hole>', 'a'])
  t.equal(queue.base, 21)
})

t.test('what was heard before the last hole is given up, but for the end', async (t) => {
  for (const [before, after] of [
    [['a', hole, 'b', hole, 'c', end], ['<hole>', 'c', '<end>']],
    [['a', end, hole], ['<hole>', '<end>']],
    [['a', mark('1'), 'b'], ['a', '<mark>', 'b']],
    [[hole, 'a'], ['<hole>', 'a']],
    [[], []]
  ] as const) {
    const queue = create(undefined, ...before)
    queue.dropBeforeLastHole()
    t.same(drain(queue), after)
    t.equal(queue.length, 0)
  }
})

t.test('whatever is done in any order, numbers and lengths stay with their messages', async (t) => {
  // A generator of its own, so that a failure can be repeated.
  let seed = 1
  const random = (bound: number) => (seed = seed * 48_271 % 2_147_483_647) % bound
  for (let run = 0; run < 200; run++) {
    const queue = create(0)
    let next = 1
    for (let step = 0; step < 60; step++) {
      const action = random(5)
      if (action < 2) queue.push(`m${next++}`)
      else if (action === 2) queue.push(mark(String(step)))
      else if (action === 3) {
        const messages = queue.takeMessages(1 + random(60))
        if (random(2) === 0) queue.putBack(messages)
      } else {
        queue.dropUpTo(Math.min((queue.base ?? 0) + random(3), next - 1))
      }
    }
    const rest: Item[] = []
    const base = queue.base ?? NaN
    for (let { first } = queue; first !== undefined; { first } = queue) {
      rest.push(first)
      queue.shift()
    }
    const messages = rest.filter((item) => typeof item === 'string')
    const expected = Array.from({ length: next - 1 - base }, (_, index) => `m${base + index + 1}`)
    if (messages.join() !== expected.join() || queue.length !== 0) t.same(messages, expected, `run ${run}`)
  }
  t.pass('200 runs')
})
