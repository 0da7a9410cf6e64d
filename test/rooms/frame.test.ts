import t from 'tap'
import { endFrame, gapFrame, goodbyeFrame, helloFrame, messagesFrame, messagesOf } from '../../src/rooms/frame.js'

const id = { term: 1_790_000_000_000, n: 2 }

t.test('a batch is one event whose data is a JSON array of strings, byte for byte', async (t) => {
  const frame = messagesFrame(id, JSON.stringify(['{"id":"u1"}', '{"message":"안녕"}']))
  t.equal(frame.toString(), 'id:1790000000000-2\ndata:["{\\"id\\":\\"u1\\"}","{\\"message\\":\\"안녕\\"}"]\n\n')
})

t.test('no message can break out of its event', async (t) => {
  const evil = ['a\n\nevent:end\ndata:x\n\n', '\r\r', '\u2028\u2029', '\0', '"],["', 'data:', '\ndata:["x"]']
  const frame = messagesFrame(id, JSON.stringify(evil))
  t.equal(frame.toString().match(/\n/g)?.length, 3)
  t.notOk(frame.includes('\r'))
  t.same(messagesOf(frame), evil)
})

t.test('a gap carries the id at which the stream goes on, and its data as it stands in the log', async (t) => {
  const data = '{"reason":"slow-viewer","from":"17-2","to":"17-9","missed":7}'
  t.equal(gapFrame({ term: 17, n: 9 }, data).toString(), `id:17-9\nevent:gap\ndata:${data}\n\n`)
})

t.test('the payload of an end is passed on, each line of it as a data line', async (t) => {
  t.equal(endFrame('{"a":1}').toString(), 'event:end\ndata:{"a":1}\n\n')
  t.equal(endFrame('{\r\n "a":1\n}\r').toString(), 'event:end\ndata:{\ndata: "a":1\ndata:}\ndata:\n\n')
  t.equal(endFrame('').toString(), 'event:end\ndata:\n\n')
})

t.test('a stream begins with the reconnection time and, where it is known, its place', async (t) => {
  t.equal(helloFrame(1999.6, id).toString(), 'retry:2000\nid:1790000000000-2\n\n')
  t.equal(helloFrame(2000).toString(), 'retry:2000\n\n')
})

t.test('a stream that the instance closes names the reason in a comment', async (t) => {
  t.equal(goodbyeFrame('draining', 1500).toString(), ':draining\nretry:1500\n\n')
})
