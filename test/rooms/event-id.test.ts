import t from 'tap'
import { createTerm, formatEventId, parseEventId } from '../../src/rooms/event-id.js'

t.test('an id survives formatting and parsing', async (t) => {
  const id = { term: '1790000000000123456', n: 42 }
  t.equal(formatEventId(id), '1790000000000123456-42')
  t.same(parseEventId(formatEventId(id)), id)
})

t.test('what is not an id is not parsed', async (t) => {
  for (const text of ['', '-', '1', '1-', '-1', '1-2-3', 'a-b', '1-2 ', '1.5-2', `${'9'.repeat(21)}-1`, '1-9999999999999999', '１-２', '1-2\n']) {
    t.equal(parseEventId(text), undefined, JSON.stringify(text))
  }
})

t.test('two terms of the same millisecond differ', async (t) => {
  const terms = new Set(Array.from({ length: 20 }, () => createTerm(1_790_000_000_000)))
  t.ok(terms.size > 15)
})

t.test('a later term is the greater number, and fits into 64 bits until long after us', async (t) => {
  t.ok(BigInt(createTerm(1_790_000_000_001)) > BigInt(createTerm(1_790_000_000_000)))
  t.ok(BigInt(createTerm(Date.UTC(2200, 0, 1))) < 2n ** 63n)
})
