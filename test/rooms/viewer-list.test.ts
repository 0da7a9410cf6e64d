import t from 'tap'
import { Viewer } from '../../src/rooms/viewer.js'
import { ViewerList } from '../../src/rooms/viewer-list.js'
import { LimitedSocket } from '../fixtures/limited-socket.js'
import { seededRandom } from '../fixtures/random.js'

const noneIsBlocked = () => { throw new Error('a viewer is blocked') }

function newViewer () {
  const socket = new LimitedSocket()
  return { viewer: new Viewer(socket.asSocket), get text () { return socket.text(false) } }
}

t.test('a viewer is in one list or another, and knows its place only there', async (t) => {
  const [one, other] = [new ViewerList(), new ViewerList()]
  const [first, second] = [newViewer().viewer, newViewer().viewer]
  one.add(first)
  other.add(second)
  t.same([one.has(first), one.has(second), other.has(first), other.has(second)], [true, false, false, true])
  t.equal(one.delete(second), false)
  t.equal(one.delete(first), true)
  t.equal(one.delete(first), false)
  other.add(first)
  t.same([one.size, [...other]], [0, [second, first]])
  other.clear()
  t.same([other.size, other.has(first)], [0, false])
})

t.test('whoever comes and goes while a frame is written in parts, each is written it once, and who comes is not', async (t) => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = seededRandom(seed)
    const list = new ViewerList()
    const members = new Map<Viewer, { readonly joined: number, readonly of: ReturnType<typeof newViewer> }>()
    let frames = 0
    const anyone = () => [...members.keys()][random(members.size)]
    const check = () => {
      for (const { joined, of } of members.values()) {
        const expected = Array.from({ length: frames - joined }, (_, index) => `${joined + index}.`).join('')
        if (of.text !== expected) t.fail(`seed ${seed}`, { got: of.text, expected })
      }
    }
    for (let step = 0; step < 300; step++) {
      const action = random(6)
      if (action === 0) {
        const joiner = newViewer()
        list.add(joiner.viewer)
        members.set(joiner.viewer, { joined: frames, of: joiner })
      } else if (action === 1 && members.size > 0) {
        const viewer = anyone()
        if (viewer === undefined) continue
        members.delete(viewer)
        t.equal(list.delete(viewer), true)
      } else if (action === 2 && list.isWritten) {
        check()
        list.begin(Buffer.from(`${frames++}.`))
      } else {
        const most = random(4)
        const written = list.write(most, noneIsBlocked)
        if (written > most || (written < most && !list.isWritten)) t.fail(`seed ${seed}: ${written} of ${most}`)
      }
      t.equal(list.size, members.size)
    }
    list.write(Infinity, noneIsBlocked)
    check()
  }
})
