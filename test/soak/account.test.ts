import t from 'tap'
import { Account } from './account.js'
import { Findings } from './findings.js'
import { Room, type Path } from './room.js'

const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, index) => first + index)

/** A viewer that was there from the first of ten messages on. */
function watch (path: Path = 'publish', messages = 10) {
  const findings = new Findings()
  const room = new Room(3, '11111111-1111-1111-1111-111111111111', path, 1, 100)
  const account = new Account('viewer', room, findings)
  account.onHead()
  account.onId('7-0')
  const texts = Array.from({ length: messages }, () => room.next())
  return {
    findings,
    room,
    account,
    /** Messages by their numbers, under the id of the last. */
    batch (numbers: readonly number[], id = `7-${numbers.at(-1)}`, to = account) {
      to.onBatch(id, JSON.stringify(numbers.map((n) => texts[n - 1] ?? '')))
    },
    gap (reason: string, from: string, to: string, missed: number | null) {
      account.onGap(to, JSON.stringify({ reason, from, to, missed }))
    },
    /** What is found wrong when all is over. */
    wrong () {
      account.finish()
      account.close()
      return findings.violations.map(({ kind }) => kind)
    }
  }
}

t.test('messages that come once and in order are right, in whatever batches', async (t) => {
  const { batch, wrong, findings } = watch()
  batch([1])
  batch(range(2, 9))
  batch([10])
  t.same(wrong(), [])
  t.match(findings, { deliveries: 10, missed: 0, late: 0, repeated: 0 })
})

t.test('messages that are missing in silence are lost, wherever', async (t) => {
  for (const numbers of [range(2, 10), [...range(1, 4), ...range(6, 10)], range(1, 9)]) {
    const { batch, wrong } = watch()
    batch(numbers)
    t.same(wrong(), ['lost'], `${numbers}`)
  }
})

t.test('a new viewer is owed nothing of before its head', async (t) => {
  const { room, findings, batch } = watch()
  const late = new Account('late viewer', room, findings)
  late.onHead()
  late.onId('7-10')
  late.finish()
  late.close()
  t.same(findings.violations, [])
  // What was under way meanwhile may come.
  const other = new Account('other viewer', room, findings)
  other.onHead()
  batch([9, 10], '7-10', other)
  other.finish()
  other.close()
  t.same(findings.violations, [])
})

t.test('messages of which nobody knows whether Redis took them may be missing', async (t) => {
  const { batch, room, wrong } = watch()
  batch([1, 2, 5, 6, 7, 8, 9])
  for (const n of [3, 4, 10]) room.unsure.add(n)
  t.same(wrong(), [])
})

t.test('messages may be missing where a gap is said, and nowhere else', async (t) => {
  const { batch, gap, wrong, findings } = watch()
  batch([1, 2])
  gap('broker-reconnect', '7-2', '8-2', null)
  batch([5, 6], '8-4')
  batch([8, 9, 10], '8-7')
  t.same(wrong(), ['lost'])
  t.match(findings, { missed: 2, violations: [{ detail: /1 of 7\.\.7/ }] })
})

t.test('a gap in the end explains what does not come any more', async (t) => {
  const { batch, gap, wrong } = watch()
  batch(range(1, 7))
  gap('sequencer-lost', '7-7', '8-7', null)
  t.same(wrong(), [])
})

t.test('a gap that knows how much is missing must be right', async (t) => {
  for (const [missed, expected] of [[1, ['miscounted']], [2, []], [3, []], [4, ['miscounted']]] as const) {
    const { batch, gap, room, wrong } = watch()
    room.unsure.add(4)
    batch([1, 2])
    gap('slow-viewer', '7-2', '7-5', missed)
    batch(range(6, 10))
    t.same(wrong(), expected, `${missed} where 2 are missing, and one that may be`)
  }
  const { batch, gap, wrong } = watch()
  batch(range(1, 5))
  gap('history-exceeded', '7-5', '7-9', 4)
  batch(range(6, 10))
  t.same(wrong(), ['miscounted'], 'nothing is missing')
})

t.test('who begins on an instance that is behind the others is told of what came before it, too', async (t) => {
  for (const [missed, expected] of [[8, ['miscounted']], [7, []], [4, []], [3, ['miscounted']]] as const) {
    const findings = new Findings()
    const room = new Room(3, '11111111-1111-1111-1111-111111111111', 'publish', 1, 100)
    const account = new Account('viewer', room, findings)
    const texts = Array.from({ length: 3 }, () => room.next())
    account.onHead()
    account.onId('7-0')
    texts.push(...Array.from({ length: 5 }, () => room.next()))
    account.onGap('7-7', JSON.stringify({ reason: 'history-exceeded', from: '7-0', to: '7-7', missed }))
    account.onBatch('7-8', JSON.stringify(texts.slice(7)))
    account.finish()
    account.close()
    t.same(findings.violations.map(({ kind }) => kind), expected, `${missed} of 4 that came since it asked, and 3 before`)
  }
})

t.test('what comes twice is found, unless a gap begins before it', async (t) => {
  const one = watch()
  one.batch(range(1, 6))
  one.batch(range(6, 10))
  t.same(one.wrong(), ['doubled'])

  const other = watch()
  other.batch(range(1, 4))
  other.batch([5, 6])
  other.gap('sequencer-lost', '7-4', '8-4', null)
  other.batch(range(5, 10), '8-10')
  t.same(other.wrong(), [])
  t.equal(other.findings.repeated, 2)

  const third = watch()
  third.batch(range(1, 4))
  third.batch([5, 6])
  third.gap('sequencer-lost', '7-4', '8-4', null)
  third.batch(range(4, 10), '8-11')
  t.same(third.wrong(), ['doubled'])
})

t.test('what is late is right only where something may have held it up, and only once', async (t) => {
  const late = (path: Path, numbers: readonly number[]) => {
    const { batch, room, findings, wrong } = watch(path)
    room.unsure.add(3)
    batch(numbers, '7-11')
    return { kinds: wrong(), late: findings.late, unreasonable: room.lateWithoutReason() }
  }
  t.same(late('http', [1, 2, 4, 5, 3, 6, 7, 8, 9, 10]), { kinds: [], late: 1, unreasonable: [] })
  t.same(late('http', [1, 2, 3, 5, 6, 4, 7, 8, 9, 10]), { kinds: [], late: 1, unreasonable: [4] })
  t.same(late('http', [1, 2, 4, 3, 3, 5, 6, 7, 8, 9, 10]), { kinds: ['doubled'], late: 1, unreasonable: [] })
  t.same(late('publish', [1, 2, 4, 5, 3, 6, 7, 8, 9, 10]).kinds, ['reordered'])
})

t.test('a new viewer that gets first what was held up is owed nothing of before its head', async (t) => {
  const { room, findings, batch } = watch('http', 12)
  const late = new Account('late viewer', room, findings)
  room.count = 9
  late.onHead()
  late.onId('7-8')
  room.count = 12
  batch([5], '7-9', late)
  batch([10, 8, 11], '7-12', late)
  late.finish()
  late.close()
  t.match(findings, { late: 1, violations: [{ kind: 'lost', detail: /1 of 12\.\.12/ }] })
})

t.test('what was parked comes behind a gap, and may be older than what was lost', async (t) => {
  const missing = (path: Path, numbers: readonly number[], published: number) => {
    const { batch, gap, room, wrong } = watch(path)
    batch([1, 2])
    room.count = published
    gap('room-idle', '7-2', '8-2', null)
    room.count = 10
    batch(numbers, '8-10')
    return wrong()
  }
  t.same(missing('script', [3, 4, 8, 9, 10], 7), [])
  t.same(missing('script', [3, 4, 8, 9, 10], 6), ['lost'], 'what was published after the gap is owed')
  t.same(missing('publish', [3, 4, 8, 9, 10], 7), ['lost'], 'plain messages are not parked')
})

t.test('ids that go back, or are no ids, are found', async (t) => {
  const { batch, wrong } = watch()
  batch([1, 2])
  batch([3, 4], '7-1')
  batch(range(5, 10), 'x')
  t.same(wrong(), ['backwards', 'malformed'])
})

t.test('an id that goes back is right when nobody knew the one before it', async (t) => {
  const { batch, gap, wrong } = watch()
  batch([1, 2], '9-9')
  gap('unknown-id', '9-9', '7-2', null)
  batch(range(3, 10))
  t.same(wrong(), [])
})

t.test('who was told something else under the same id is found', async (t) => {
  const { batch, room, findings, wrong } = watch()
  batch(range(1, 10))
  const other = new Account('other', room, findings)
  batch([8, 9], '7-10', other)
  t.same(wrong(), ['disagreement'])
})

t.test('a message of another room, and one that nobody published, are found', async (t) => {
  const { account, batch, wrong } = watch('publish', 2)
  batch([1, 2])
  account.onBatch('7-3', '["~4:3~"]')
  account.onBatch('7-4', '["~3:3~"]')
  t.same(wrong(), ['foreign', 'foreign'])
})

t.test('the end of a room must have been published, and comes after its last message', async (t) => {
  const early = watch()
  early.batch(range(1, 10))
  early.account.onEnd()
  t.same(early.wrong(), ['sent-away'])

  const right = watch()
  right.batch(range(1, 10))
  right.room.isEnding = true
  right.account.onEnd()
  t.same(right.wrong(), [])

  const lost = watch()
  lost.batch(range(1, 9))
  lost.room.isEnding = true
  lost.account.onEnd()
  t.same(lost.wrong(), ['lost'])
})
