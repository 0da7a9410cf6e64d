import t from 'tap'
import { formatLogEntry, messagesOfEntry, parseLogEntry, type LogEntry } from '../../src/sequencing/log-entry.js'

const from = { term: 1_790_000_000_000, n: 3 }

t.test('an entry survives formatting and parsing, whatever is in it', async (t) => {
  const messages = ['', ' ', '안녕 👋', 'a\nb\r\n', '\0', '\u2028', '"],["', 'batch 1-1 1-2 ["x"]', '\ud800']
  const entries: LogEntry[] = [
    { kind: 'batch', from, to: { term: from.term, n: 3 + messages.length }, data: JSON.stringify(messages) },
    { kind: 'batch', from, to: { term: from.term + 5, n: 4 }, data: '["x"]' },
    { kind: 'gap', from, to: { term: from.term + 1, n: 3 }, data: '{"reason":"sequencer-lost","from":"1-3","to":"2-3","missed":null}' },
    { kind: 'end', from, to: from, data: '{"a":1}' },
    { kind: 'end', from, to: from, data: '' },
    { kind: 'end', from, to: from, data: 'lines\r\nof text ' }
  ]
  for (const entry of entries) t.same(parseLogEntry(formatLogEntry(entry)), entry, entry.data)
  t.same(messagesOfEntry(entries[0] as LogEntry), messages)
})

t.test('the text of an entry is a contract between versions', async (t) => {
  t.equal(formatLogEntry({ kind: 'batch', from: { term: 7, n: 1 }, to: { term: 8, n: 2 }, data: '["x"]' }), 'batch 7-1 8-2 ["x"]')
})

t.test('what is no entry, or contradicts itself, is not parsed', async (t) => {
  const hostile = [
    '', ' ', 'batch', 'batch 7-1 7-2', 'batch 7-1 7-2 ', 'undefined undefined 7-2 undefined',
    'message 7-1 7-2 ["x"]', 'batch 7-1  7-2 ["x"]', ' batch 7-1 7-2 ["x"]', 'BATCH 7-1 7-2 ["x"]', '\nbatch 7-1 7-2 ["x"]',
    // Ids
    'batch 7 7-2 ["x"]', 'batch a-1 7-2 ["x"]', 'batch 7-1 7-2-3 ["x"]', 'batch -7-1 7-2 ["x"]', 'batch 1000000000000000-1 1000000000000000-2 ["x"]',
    `batch ${'9'.repeat(400)}-1 7-2 ["x"]`, 'batch 7-1 18446744073709551615-2 ["x"]',
    // Number of messages
    'batch 7-1 7-1 []', 'batch 7-1 7-2 []', 'batch 7-1 7-3 ["x"]', 'batch 7-1 7-2 ["x","y"]', 'batch 7-2 7-1 ["x"]',
    // Terms that go back
    'batch 8-1 7-2 ["x"]', 'gap 8-1 7-1 {}', 'end 7-1 8-1 {}', 'end 7-1 7-2 {}',
    // Data
    'batch 7-1 7-2 x', 'batch 7-1 7-2 {"length":1}', 'batch 7-1 7-2 "x"', 'batch 7-1 7-2 null', 'batch 7-1 7-2 [1]', 'batch 7-1 7-2 [["x"]]', 'batch 7-1 7-3 ["x",null]',
    'batch 7-1 7-2 ["x"]\n\nevent:end', 'batch 7-1 7-2 ["x"\n]', 'batch 7-1 7-2 [\r"x"]', 'batch 7-1 7-2 ["x"] y', `batch 7-1 7-2 ${'['.repeat(100_000)}`,
    'gap 7-1 8-1 ', 'gap 7-1 8-1 x', 'gap 7-1 8-1 1', 'gap 7-1 8-1 {\n}', 'gap 7-1 8-1 {}\n\ndata:x'
  ]
  for (const text of hostile) t.equal(parseLogEntry(text), undefined, text.slice(0, 60))
})

t.test('a gap whose data is no object is none', async (t) => {
  for (const data of ['null', '[]']) t.equal(parseLogEntry(`gap 7-1 8-1 ${data}`), undefined, data)
})
