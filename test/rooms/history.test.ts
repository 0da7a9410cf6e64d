import t from 'tap'
import { History, type Continuation, type Entry } from '../../src/rooms/history.js'
import { messagesOf } from '../../src/rooms/frame.js'

/** What a viewer gets that goes on from there: messages as they are, other events by name. */
function read (history: History, { lead, position }: Continuation): string[] {
  const frames = lead ? [lead] : []
  for (let entry: Entry | undefined, place = position; (entry = history.next(place)); place = entry.to) frames.push(entry.frame)
  return frames.flatMap((frame) => /^event:(\w+)/m.exec(frame.toString())?.[1] ?? messagesOf(frame))
}

function gapOf ({ lead }: Continuation) {
  return JSON.parse(/^data:(.*)$/m.exec(lead?.toString() ?? '')?.[1] ?? 'null')
}

function create (maxMessages = 100, maxBytes = 1_000_000) {
  const history = new History('7', maxMessages, maxBytes)
  let n = 0
  const add = (...counts: number[]) => counts.map((count) => history.appendMessages(Array.from({ length: count }, () => `m${++n}`)))
  return { history, add }
}

t.test('messages are numbered through, whatever the batches', async (t) => {
  const { history, add } = create()
  add(1, 3, 2)
  t.match(history.last, { term: '7', n: 6, seq: 3 })
})

t.test('a viewer goes on exactly after the id it has seen', async (t) => {
  const { history, add } = create()
  add(1, 3, 2)
  const messages = ['m1', 'm2', 'm3', 'm4', 'm5', 'm6']
  for (let n = 0; n <= 6; n++) {
    const continuation = history.afterId({ term: '7', n })
    t.same(read(history, continuation), messages.slice(n), `after ${n}`)
  }
})

t.test('a viewer that begins with the last N messages gets exactly these', async (t) => {
  const { history, add } = create()
  add(1, 3, 2)
  const messages = ['m1', 'm2', 'm3', 'm4', 'm5', 'm6']
  for (let n = 0; n <= 6; n++) t.same(read(history, history.recent(n)), n === 0 ? [] : messages.slice(-n), `recent ${n}`)
  t.same(read(history, history.recent(1000)), messages, 'more than there are')
})

t.test('a part of a batch is sent under the id of the whole', async (t) => {
  const { history, add } = create()
  const [entry] = add(3)
  t.equal(history.recent(1).lead?.toString(), 'id:7-3\ndata:["m3"]\n\n')
  t.equal(history.recent(1).position, entry?.to)
})

t.test('an empty history has nothing to say', async (t) => {
  const { history } = create()
  t.same(read(history, history.recent(5)), [])
  t.same(read(history, history.afterId({ term: '7', n: 0 })), [])
})

t.test('an id that has fallen out is told how many messages were missed, and gets the rest', async (t) => {
  const { history, add } = create(4)
  add(2, 2, 2, 2)
  const continuation = history.afterId({ term: '7', n: 1 })
  t.same(gapOf(continuation), { reason: 'history-exceeded', from: '7-1', to: '7-4', missed: 3 })
  t.same(read(history, continuation), ['gap', 'm5', 'm6', 'm7', 'm8'])
})

t.test('the id just before the oldest entry has missed nothing', async (t) => {
  const { history, add } = create(4)
  add(2, 2, 2, 2)
  t.same(read(history, history.afterId({ term: '7', n: 4 })), ['m5', 'm6', 'm7', 'm8'])
})

t.test('an id that was never given out here is told so, and the stream goes on live', async (t) => {
  const { history, add } = create()
  add(2)
  const gap = { reason: 'unknown-id', to: '7-2', missed: null }
  t.same(gapOf(history.afterId({ term: '6', n: 1 })), { ...gap, from: '6-1' })
  t.same(gapOf(history.afterId({ term: '7', n: 3 })), { ...gap, from: '7-3' })
  t.same(gapOf(history.afterId(undefined)), { ...gap, from: null })
  t.same(read(history, history.afterId(undefined)), ['gap'])
})

t.test('after a gap of the broker the old ids lead over it, once', async (t) => {
  const { history, add } = create()
  add(2)
  const entry = history.appendGap('broker-reconnect', '8')
  t.equal(entry.frame.toString(), 'id:8-2\nevent:gap\ndata:{"reason":"broker-reconnect","from":"7-2","to":"8-2","missed":null}\n\n')
  add(1)
  t.same(read(history, history.afterId({ term: '7', n: 1 })), ['m2', 'gap', 'm3'])
  t.same(read(history, history.afterId({ term: '7', n: 2 })), ['gap', 'm3'])
  t.same(read(history, history.afterId({ term: '8', n: 2 })), ['m3'])
  t.same(read(history, history.afterId({ term: '8', n: 3 })), [])
  t.equal(gapOf(history.afterId({ term: '8', n: 1 })).reason, 'unknown-id')
})

t.test('a slow viewer that has fallen out goes on with the newest batch and is told the number missed', async (t) => {
  const { history, add } = create(4)
  const [first] = add(2, 2, 2, 2, 2)
  const continuation = history.afterFallingBehind(first?.to ?? history.last)
  t.same(gapOf(continuation), { reason: 'slow-viewer', from: '7-2', to: '7-8', missed: 6 })
  t.same(read(history, continuation), ['gap', 'm9', 'm10'])
})

t.test('a slow viewer that is still in the history has missed nothing', async (t) => {
  const { history, add } = create(4)
  const [, second] = add(2, 2, 2, 2)
  t.same(read(history, history.afterFallingBehind(second?.to ?? history.last)), ['m5', 'm6', 'm7', 'm8'])
})

t.test('messages lost by the broker while a viewer was behind make the number unknown', async (t) => {
  const { history, add } = create(2)
  const [first] = add(2)
  history.appendGap('broker-reconnect', '8')
  add(2, 2, 2)
  t.equal(gapOf(history.afterFallingBehind(first?.from ?? history.last)).missed, null)
})

t.test('the history keeps as many messages as asked for, and no more batches than that needs', async (t) => {
  const { history, add } = create(5)
  for (let i = 0; i < 100; i++) add(2)
  t.equal(read(history, history.recent(1000)).length, 6)
})

t.test('the history keeps to its bytes, but for the newest entry', async (t) => {
  const { history, add } = create(1000, 100)
  for (let i = 0; i < 50; i++) add(1)
  const kept = read(history, history.recent(1000)).length
  t.ok(kept > 1 && kept < 8, String(kept))
  add(100)
  t.equal(read(history, history.recent(1000)).length, 100)
})

t.test('the end comes after everything', async (t) => {
  const { history, add } = create()
  add(1)
  const entry = history.appendEnd('{}')
  t.equal(history.next(entry.from), entry)
  t.equal(history.next(entry.to), undefined)
})
