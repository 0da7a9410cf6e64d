import t from 'tap'
import { makeMessage } from '../message.js'
import { RoomStream } from './room-stream.js'
import { countWrites, Sequence } from './sequence.js'

/** As the server sends it: the messages are strings in a JSON array. */
function event (id: number, ...numbers: number[]): Buffer {
  return Buffer.from(`id:7-${id}\ndata:${JSON.stringify(numbers.map((n) => makeMessage(n, 160)))}\n\n`)
}

t.test('a stream in which nothing is missing counts as whole, wherever it is cut in pieces', async (t) => {
  const stream = Buffer.concat([event(2, 0, 1), event(3, 2), event(6, 3, 4, 5)])
  for (let cut = 0; cut <= stream.length; cut++) {
    const sequence = new Sequence('sse')
    sequence.accept(stream.subarray(0, cut))
    sequence.accept(stream.subarray(cut))
    t.match(sequence, { messages: 6, lost: 0, doubled: 0, next: 6, lastEventId: '7-6' }, `cut at ${cut}`)
  }
  t.equal(countWrites(stream, 'sse'), 3)
})

t.test('a WebSocket stream does too', async (t) => {
  const stream = Buffer.concat([0, 1, 2].map((n) => Buffer.from(`\x81~\x00\xaa42["message",${JSON.stringify(makeMessage(n, 160))}]`, 'latin1')))
  for (let cut = 0; cut <= stream.length; cut++) {
    const sequence = new Sequence('socket.io')
    sequence.accept(stream.subarray(0, cut))
    sequence.accept(stream.subarray(cut))
    t.match(sequence, { messages: 3, lost: 0, doubled: 0, next: 3 }, `cut at ${cut}`)
  }
  t.equal(countWrites(stream, 'socket.io'), 3)
})

t.test('lost and doubled messages are counted', async (t) => {
  const sequence = new Sequence('sse')
  sequence.accept(Buffer.concat([event(1, 0), event(4, 3), event(4, 3), event(5, 4)]))
  t.match(sequence, { messages: 4, lost: 2, doubled: 1 })
})

t.test('lost messages that the server has told of are counted as such', async (t) => {
  const sequence = new Sequence('sse')
  sequence.accept(Buffer.concat([event(1, 0), Buffer.from('id:7-4\nevent:gap\ndata:{"reason":"history-exceeded","from":"7-1","to":"7-4","missed":3}\n\n'), event(5, 4)]))
  t.match(sequence, { messages: 2, lost: 3, told: 3, doubled: 0 })
})

t.test('an event that was cut off is not taken in, and is no reason to resume after it', async (t) => {
  const sequence = new Sequence('sse')
  sequence.accept(event(1, 0))
  sequence.accept(event(2, 1).subarray(0, -1))
  sequence.cut()
  t.match(sequence, { messages: 1, lastEventId: '7-1' })
  sequence.accept(event(2, 1))
  t.match(sequence, { messages: 2, lost: 0, doubled: 0, lastEventId: '7-2' })
})

t.test('latency is known of each message', async (t) => {
  const times: number[] = []
  const sequence = new Sequence('sse', (publishedUs) => { times.push(publishedUs) })
  sequence.accept(event(2, 0, 1))
  t.equal(times.length, 2)
  t.ok(times.every((time) => time > 0))
})

t.test('a stream is compared with what anybody in the room has got, whoever is ahead', async (t) => {
  const room = new RoomStream()
  t.ok(room.accept(0, Buffer.from('abc'), 3), 'the first is right')
  t.ok(room.accept(0, Buffer.from('ab'), 2))
  t.ok(room.accept(2, Buffer.from('cdef'), 4), 'who is ahead extends it')
  t.ok(room.accept(3, Buffer.from('def'), 3))
  t.notOk(room.accept(6 - 3, Buffer.from('dEf'), 3))
  t.equal(room.bytes.toString(), 'abcdef')
})
