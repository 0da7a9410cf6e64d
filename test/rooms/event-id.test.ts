import t from 'tap'
import { compareEventIds, formatEventId, parseEventId } from '../../src/rooms/event-id.js'

t.test('an id survives formatting and parsing', async (t) => {
  for (const id of [{ term: 1_790_000_000_000, n: 42 }, { term: 0, n: 0 }, { term: 999_999_999_999_999, n: 999_999_999_999_999 }]) {
    t.same(parseEventId(formatEventId(id)), id)
  }
  t.equal(formatEventId({ term: 1_790_000_000_000, n: 42 }), '1790000000000-42')
})

t.test('what is not an id is not parsed, nor what would not stay exact', async (t) => {
  for (const text of ['', '-', '1', '1-', '-1', '1-2-3', 'a-b', '1-2 ', '1.5-2', '1e3-2', '+1-2', '0x1-2', `${'9'.repeat(21)}-1`, '1000000000000000-1', '1-9999999999999999', '１-２', '1-2\n']) {
    t.equal(parseEventId(text), undefined, JSON.stringify(text))
  }
})

t.test('ids are ordered by term, then by number, and both as numbers', async (t) => {
  const ordered = ['9-10', '10-2', '10-9', '10-10', '100-1', '999999999999998-999999999999999', '999999999999999-0'].map((text) => parseEventId(text) ?? { term: NaN, n: NaN })
  for (const [index, id] of ordered.entries()) {
    for (const [otherIndex, other] of ordered.entries()) {
      t.equal(Math.sign(compareEventIds(id, other)), Math.sign(index - otherIndex), `${formatEventId(id)} and ${formatEventId(other)}`)
    }
  }
})
