import t, { type Test } from 'tap'
import { formatEventId, parseEventId, type EventId } from '../../src/rooms/event-id.js'
import { messagesOf } from '../../src/rooms/frame.js'
import { History, type Continuation, type Entry } from '../../src/rooms/history.js'
import type { LogEntry } from '../../src/sequencing/log-entry.js'

/** The id of that text; for tests only, which know what they write. */
function id (text: string): EventId {
  const parsed = parseEventId(text)
  if (parsed === undefined) throw new Error(`no id: ${text}`)
  return parsed
}

/** A batch whose messages are named by their numbers: m4, m5. */
function batch (from: string, to: string): LogEntry {
  const messages = Array.from({ length: id(to).n - id(from).n }, (_, index) => `m${id(from).n + index + 1}`)
  return { kind: 'batch', from: id(from), to: id(to), data: JSON.stringify(messages) }
}

function gap (from: string, to: string): LogEntry {
  return { kind: 'gap', from: id(from), to: id(to), data: JSON.stringify({ reason: 'sequencer-lost', from, to, missed: null }) }
}

/** A history that begins at 7-0. */
function create ({ maxMessages = 100, maxBytes = 1_000_000, start = '7-0' } = {}) {
  const history = new History(maxMessages, maxBytes)
  history.begin(id(start))
  return {
    history,
    /** Batches of so many messages each, one after the other, in the term of the last. */
    add: (...counts: number[]) => counts.map((count) => {
      const { term, n } = history.last
      return history.take(batch(`${term}-${n}`, `${term}-${n + count}`)) ?? fail('nothing new')
    }),
    take: (...entries: LogEntry[]) => entries.map((entry) => history.take(entry))
  }
}

function fail (why: string): never {
  throw new Error(why)
}

/** What a viewer gets that goes on from there: messages as they are, other events by name; 'ahead' when it has to wait. */
function read (history: History, continuation: Continuation | undefined): string[] | 'ahead' {
  if (continuation === undefined) return 'ahead'
  const { lead, position } = continuation
  const frames = lead ? [lead] : []
  for (let entry: Entry | undefined, place = position; (entry = history.next(place)); place = entry.to) frames.push(entry.frame)
  return frames.flatMap((frame) => /^event:(\w+)/m.exec(frame.toString())?.[1] ?? messagesOf(frame))
}

function gapOf (continuation: Continuation | undefined) {
  return JSON.parse(/^data:(.*)$/m.exec(continuation?.lead?.toString() ?? '')?.[1] ?? 'null')
}

/** Checks where a viewer goes on, by its last id. */
function sameAfter (t: Test, history: History, expected: Record<string, string[] | 'ahead'>) {
  for (const [text, got] of Object.entries(expected)) t.same(read(history, history.afterId(id(text))), got, `after ${text}`)
}

const messages = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => `m${from + index}`)

t.test('messages are numbered through, whatever the batches, from where the history began', async (t) => {
  const { history, add } = create({ start: '7-10' })
  t.match(history.last, { term: 7, n: 10, seq: 0 })
  add(1, 3, 2)
  t.match(history.last, { term: 7, n: 16, seq: 3 })
})

t.test('a batch is one event under its id', async (t) => {
  const { add } = create()
  t.equal(add(2)[0]?.frame.toString(), 'id:7-2\ndata:["m1","m2"]\n\n')
})

t.test('a viewer goes on exactly after the id it has seen', async (t) => {
  const { history, add } = create()
  add(1, 3, 2)
  for (let n = 0; n <= 6; n++) t.same(read(history, history.afterId({ term: 7, n })), messages(n + 1, 6), `after ${n}`)
})

t.test('a viewer that begins with the last N messages gets exactly these', async (t) => {
  const { history, add } = create()
  add(1, 3, 2)
  for (let n = 0; n <= 6; n++) t.same(read(history, history.recent(n)), messages(7 - n, 6), `recent ${n}`)
  t.same(read(history, history.recent(1000)), messages(1, 6), 'more than there are')
})

t.test('a part of a batch is sent under the id of the whole, cut once for all who ask', async (t) => {
  const { history, add } = create()
  const [entry] = add(3)
  t.equal(history.recent(1).lead?.toString(), 'id:7-3\ndata:["m3"]\n\n')
  t.equal(history.recent(1).position, entry?.to)
  t.equal(history.afterId(id('7-2'))?.lead, history.recent(1).lead, 'the same bytes')
  t.equal(history.afterId(id('7-1'))?.lead?.toString(), 'id:7-3\ndata:["m2","m3"]\n\n', 'cut elsewhere, other bytes')
})

t.test('an empty history has nothing to say', async (t) => {
  const { history } = create()
  t.same(read(history, history.recent(5)), [])
  t.same(read(history, history.afterId(id('7-0'))), [])
  t.same(history.latestFrames(5), [])
  t.same(history.oldest, history.last)
})

t.test('what an owner has said before it was logged is not said again when it comes from the log', async (t) => {
  const { history, take } = create()
  take(batch('7-0', '7-2'), batch('7-2', '7-5'))
  t.same(take(batch('7-0', '7-2'), batch('7-2', '7-5')), [undefined, undefined])
  t.same(take(batch('7-0', '9-4')), [undefined], 'nor in the batches of another')
  t.match(history.last, { term: 9, n: 5, seq: 2 })
  sameAfter(t, history, { '9-4': ['m5'], '9-5': [], '7-5': [] })
})

t.test('the batches of another are cut to what was not said here, under their own ids', async (t) => {
  const { history, take } = create()
  take(batch('7-0', '7-3'))
  const [known, cut, next] = take(batch('7-0', '9-2'), batch('9-2', '9-5'), batch('9-5', '9-6'))
  t.equal(known, undefined)
  t.equal(cut?.frame.toString(), 'id:9-5\ndata:["m4","m5"]\n\n')
  t.match(cut, { from: { term: 9, n: 3, seq: 1 }, to: { term: 9, n: 5, seq: 2 } })
  t.equal(next?.frame.toString(), 'id:9-6\ndata:["m6"]\n\n')
  sameAfter(t, history, { '7-2': ['m3', 'm4', 'm5', 'm6'], '7-3': ['m4', 'm5', 'm6'], '9-2': ['m3', 'm4', 'm5', 'm6'], '9-4': ['m5', 'm6'], '9-5': ['m6'], '9-6': [] })
})

t.test('a term that goes on with the numbers of the one before it is no gap', async (t) => {
  const { history, take } = create()
  take(batch('7-0', '7-2'), batch('7-2', '9-4'))
  sameAfter(t, history, { '7-0': ['m1', 'm2', 'm3', 'm4'], '7-2': ['m3', 'm4'], '9-3': ['m4'], '9-4': [] })
  t.same(read(history, history.recent(3)), ['m2', 'm3', 'm4'])
})

t.test('a gap stands between what was before and what comes after it, for each id but those that have seen it', async (t) => {
  const { history, take } = create()
  const [, entry] = take(batch('7-0', '7-2'), gap('7-2', '9-2'), batch('9-2', '9-5'))
  t.equal(entry?.frame.toString(), 'id:9-2\nevent:gap\ndata:{"reason":"sequencer-lost","from":"7-2","to":"9-2","missed":null}\n\n')
  sameAfter(t, history, {
    '7-0': ['m1', 'm2', 'gap', 'm3', 'm4', 'm5'],
    '7-1': ['m2', 'gap', 'm3', 'm4', 'm5'],
    '7-2': ['gap', 'm3', 'm4', 'm5'],
    '9-2': ['m3', 'm4', 'm5'],
    '9-4': ['m5'],
    '9-5': []
  })
})

t.test('an id that was given out but never logged goes on with the gap that stands in its place', async (t) => {
  const { history, take } = create()
  take(batch('7-0', '7-2'), gap('7-2', '9-2'), batch('9-2', '9-5'))
  sameAfter(t, history, { '7-3': ['gap', 'm3', 'm4', 'm5'], '8-4': ['gap', 'm3', 'm4', 'm5'] })
})

t.test('numbers that begin anew behind a gap are not taken for those before it', async (t) => {
  const { history, take } = create()
  take(batch('7-0', '7-4'), gap('7-4', '9-0'), batch('9-0', '9-3'))
  sameAfter(t, history, { '7-2': ['m3', 'm4', 'gap', 'm1', 'm2', 'm3'], '7-4': ['gap', 'm1', 'm2', 'm3'], '9-0': ['m1', 'm2', 'm3'], '9-2': ['m3'], '9-3': [] })
})

t.test('between two gaps an id belongs to its own stretch', async (t) => {
  const { history, take } = create()
  take(batch('7-0', '7-1'), gap('7-1', '8-1'), batch('8-1', '8-3'), gap('8-3', '9-3'), gap('9-3', '10-3'), batch('10-3', '10-4'))
  sameAfter(t, history, {
    '7-1': ['gap', 'm2', 'm3', 'gap', 'gap', 'm4'],
    '8-1': ['m2', 'm3', 'gap', 'gap', 'm4'],
    '8-2': ['m3', 'gap', 'gap', 'm4'],
    '8-3': ['gap', 'gap', 'm4'],
    '8-9': ['gap', 'gap', 'm4'],
    '9-3': ['gap', 'm4'],
    '10-3': ['m4'],
    '10-4': []
  })
})

t.test('an id that is ahead has to wait until its event comes', async (t) => {
  const { history, take } = create()
  take(batch('7-0', '7-2'))
  sameAfter(t, history, { '7-3': 'ahead', '9-4': 'ahead' })
  take(batch('7-2', '9-4'), batch('9-4', '9-5'))
  sameAfter(t, history, { '7-3': ['m4', 'm5'], '9-4': ['m5'] })
})

t.test('an id of a term that is not here yet is ahead, even with a number that is', async (t) => {
  const { history, take } = create()
  take(batch('7-0', '7-4'))
  sameAfter(t, history, { '9-2': 'ahead', '9-4': 'ahead' })
  take(gap('7-4', '9-0'), batch('9-0', '9-3'))
  sameAfter(t, history, { '9-2': ['m3'] })
})

t.test('an id that has fallen out is told how many messages were missed, and gets the rest', async (t) => {
  const { history, add } = create({ maxMessages: 4 })
  add(2, 2, 2, 2)
  const continuation = history.afterId(id('7-1'))
  t.same(gapOf(continuation), { reason: 'history-exceeded', from: '7-1', to: '7-4', missed: 3 })
  t.same(read(history, continuation), ['gap', ...messages(5, 8)])
  t.equal(formatEventId(history.oldest), '7-6', 'the oldest event that is kept')
})

t.test('the id just before the oldest entry has missed nothing', async (t) => {
  const { history, add } = create({ maxMessages: 4 })
  add(2, 2, 2, 2)
  t.same(read(history, history.afterId(id('7-4'))), messages(5, 8))
})

t.test('an id from before the beginning of the history has missed nobody knows how many', async (t) => {
  const { history, add } = create({ start: '7-10' })
  add(2)
  for (const text of ['6-11', '6-9', '7-9', '0-0']) {
    const continuation = history.afterId(id(text))
    t.same(gapOf(continuation), { reason: 'history-exceeded', from: text, to: '7-10', missed: null })
    t.same(read(history, continuation), ['gap', 'm11', 'm12'])
  }
})

t.test('ids from the other side of a gap that has fallen out have missed nobody knows how many', async (t) => {
  const { history, take, add } = create({ maxMessages: 4 })
  take(batch('7-0', '7-2'), gap('7-2', '9-2'))
  add(2, 2, 2)
  t.same(gapOf(history.afterId(id('7-1'))), { reason: 'history-exceeded', from: '7-1', to: '9-4', missed: null })
  t.same(gapOf(history.afterId(id('9-3'))), { reason: 'history-exceeded', from: '9-3', to: '9-4', missed: 1 })
})

t.test('an id from within a gap of this instance alone has missed only what came after it', async (t) => {
  for (const [from, to, text] of [['7-2', '7-9', '7-6'], ['7-2', '8-9', '8-6']] as const) {
    const { history, take } = create()
    take(batch('7-0', '7-2'), gap(from, to), batch(to, `${to.slice(0, 2)}11`))
    const continuation = history.afterId(id(text))
    t.same(gapOf(continuation), { reason: 'history-exceeded', from: text, to, missed: 3 })
    t.same(read(history, continuation), ['gap', 'm10', 'm11'])
    sameAfter(t, history, { '7-2': ['gap', 'm10', 'm11'], [to]: ['m10', 'm11'] })
  }
})

t.test('what is kept takes its own memory, and nothing of what all small buffers share', async (t) => {
  for (const maxMessages of [1000, 20]) {
    const { history, add } = create({ maxMessages })
    const shared = new Set<ArrayBufferLike>()
    for (let count = 0; count < 100; count++) {
      add(10)
      // Viewers come back who have seen a part of the batch.
      for (let seen = 1; seen < 10; seen++) history.afterId({ ...history.last, n: history.last.n - seen })
      // Others make small buffers meanwhile.
      for (let others = 0; others < 10; others++) shared.add(Buffer.from('x'.repeat(Buffer.poolSize / 10)).buffer)
    }
    t.ok(shared.size >= 100, 'each frame was made in another piece')
    const kept = new Set<ArrayBufferLike>()
    for (let entry: Entry | undefined, place = { ...history.last, seq: 100 - Math.min(100, Math.ceil(maxMessages / 10)) }; (entry = history.next(place)); place = entry.to) kept.add(entry.frame.buffer)
    const memory = [...kept].reduce((sum, { byteLength }) => sum + byteLength, 0)
    t.ok(memory >= history.bytes && memory <= 2 * history.bytes + 2 * 2048, `${memory} bytes for ${history.bytes}`)
    sameAfter(t, history, { '7-997': ['m998', 'm999', 'm1000'] })
  }
})

t.test('an id that is no id, and a stream that began while nobody listened, go on live and are told so', async (t) => {
  const { history, add } = create()
  add(2)
  t.same(gapOf(history.afterUnknownId()), { reason: 'unknown-id', from: null, to: '7-2', missed: null })
  t.same(gapOf(history.afterNotListening()), { reason: 'broker-reconnect', from: null, to: '7-2', missed: null })
  t.same(read(history, history.afterUnknownId()), ['gap'])
})

t.test('the last N messages are counted across gaps, which are shown between them', async (t) => {
  const { history, take } = create()
  take(batch('7-0', '7-3'), gap('7-3', '9-3'), batch('9-3', '9-5'))
  t.same(read(history, history.recent(1)), ['m5'])
  t.same(read(history, history.recent(2)), ['m4', 'm5'])
  t.same(read(history, history.recent(3)), ['m3', 'gap', 'm4', 'm5'])
  t.same(read(history, history.recent(9)), ['m1', 'm2', 'm3', 'gap', 'm4', 'm5'])
})

t.test('the latest frames are as many as hold so many messages, also across a gap', async (t) => {
  const { history, take, add } = create()
  take(batch('7-0', '7-3'), gap('7-3', '9-3'))
  add(2, 3, 1)
  const latest = (count: number) => history.latestFrames(count).map((frame) => messagesOf(frame))
  t.same(latest(0), [])
  t.same(latest(1), [['m9']])
  t.same(latest(2), [['m6', 'm7', 'm8'], ['m9']])
  t.same(latest(6), [['m4', 'm5'], ['m6', 'm7', 'm8'], ['m9']])
  t.same(latest(99), [['m1', 'm2', 'm3'], ['m4', 'm5'], ['m6', 'm7', 'm8'], ['m9']])
})

t.test('a slow viewer that has fallen out goes on with the newest batch and is told the number missed', async (t) => {
  const { history, add } = create({ maxMessages: 4 })
  const [first] = add(2, 2, 2, 2, 2)
  const continuation = history.afterFallingBehind(first?.to ?? history.last)
  t.same(gapOf(continuation), { reason: 'slow-viewer', from: '7-2', to: '7-8', missed: 6 })
  t.same(read(history, continuation), ['gap', 'm9', 'm10'])
})

t.test('a slow viewer that is still in the history has missed nothing', async (t) => {
  const { history, add } = create({ maxMessages: 4 })
  const [, second] = add(2, 2, 2, 2)
  t.same(read(history, history.afterFallingBehind(second?.to ?? history.last)), messages(5, 8))
})

t.test('a gap while a viewer was behind makes the number unknown, whether it is kept or not', async (t) => {
  for (const counts of [[2, 2], [2, 2, 2, 2]]) {
    const { history, add } = create({ maxMessages: 4 })
    const [first] = add(2)
    add(2)
    history.take(gap('7-4', '9-4'))
    add(...counts)
    const { lead, position } = history.afterFallingBehind(first?.from ?? history.last)
    t.match(gapOf({ lead: lead ?? fail('no gap'), position }), { reason: 'slow-viewer', missed: null })
  }
})

t.test('a slow viewer goes on at a gap that is the newest entry, and is told of both', async (t) => {
  const { history, add, take } = create({ maxMessages: 1 })
  const [first] = add(1, 1, 1)
  take(gap('7-3', '9-3'))
  const continuation = history.afterFallingBehind(first?.to ?? history.last)
  t.same(gapOf(continuation), { reason: 'slow-viewer', from: '7-1', to: '7-3', missed: 2 })
  t.same(read(history, continuation), ['gap', 'gap'])
})

t.test('the history keeps as many messages as asked for, and no more batches than that needs', async (t) => {
  const { history, add } = create({ maxMessages: 5 })
  for (let i = 0; i < 100; i++) add(2)
  t.equal(read(history, history.recent(1000)).length, 6)
})

t.test('gaps cannot fill the history without end', async (t) => {
  const { history, take } = create({ maxMessages: 5 })
  for (let term = 8; term < 108; term++) take(gap(`${term - 1}-0`, `${term}-0`))
  t.same(read(history, history.recent(1000)), ['gap', 'gap', 'gap', 'gap', 'gap'])
})

t.test('a gap counts as one, however many messages are missing in it', async (t) => {
  const { history, add, take } = create({ maxMessages: 10 })
  add(2)
  take(gap('7-2', '7-500'))
  t.same(read(history, history.recent(2)), ['m1', 'm2', 'gap'])
})

t.test('the history keeps to its bytes, but for the newest entry', async (t) => {
  const { history, add } = create({ maxMessages: 1000, maxBytes: 100 })
  for (let i = 0; i < 50; i++) add(1)
  const kept = read(history, history.recent(1000)).length
  t.ok(kept > 1 && kept < 8, String(kept))
  add(100)
  t.equal(read(history, history.recent(1000)).length, 100)
})

t.test('the end comes after everything, at the place of the last message', async (t) => {
  const { history, add, take } = create()
  add(2)
  const [entry] = take({ kind: 'end', from: id('7-2'), to: id('7-2'), data: '{}' })
  t.match(entry, { kind: 'end', to: { term: 7, n: 2, seq: 2 } })
  t.equal(history.next(entry?.from ?? fail('no end')), entry)
  t.equal(history.next(entry?.to ?? fail('no end')), undefined)
  sameAfter(t, history, { '7-1': ['m2', 'end'], '7-2': ['end'], '7-3': 'ahead' })
})

t.test('who comes with an unknown id, or was not listened for, gets the end too', async (t) => {
  const { history, add, take } = create()
  add(2)
  take({ kind: 'end', from: id('7-2'), to: id('7-2'), data: '{}' })
  t.same(read(history, history.afterUnknownId()), ['gap', 'end'])
  t.same(read(history, history.afterNotListening()), ['gap', 'end'])
})

t.test('an id that was given out under numbers of its own, of which nothing is left, gets a gap, and no id below it', async (t) => {
  const { history, take } = create({ start: '7-5' })
  take(batch('7-5', '20-6'), gap('20-6', '30-6'), batch('30-6', '30-7'))
  const inside = history.afterId(id('10-0'))
  t.equal(inside?.position, history.next({ ...id('7-5'), seq: 0 })?.from)
  t.match(String(inside?.lead), /^id:10-0\nevent:gap\ndata:{"reason":"history-exceeded","from":"10-0","to":"10-0",/)
  t.match(history.afterId(id('25-0')), { position: id('20-6'), lead: undefined }, 'the gap that is there anyway')
})
