import { connect, type Socket } from 'node:net'
import { createInflateRaw } from 'node:zlib'
import type { Protocol } from '../contenders.js'
import { JOIN_FRAME, mayJoin, requestHead, streamStart } from './handshake.js'
import type { RoomStream } from './room-stream.js'
import type { Sequence } from './sequence.js'

export interface ViewerOptions {
  readonly port: number
  readonly protocol: Protocol
  readonly path: string
  /** Compared with, unless undefined. */
  readonly room: RoomStream | undefined
  /** Parses the stream, unless undefined. */
  readonly sequence: Sequence | undefined
  readonly acceptsGzip: boolean
}

/** All sockets of the process read into one buffer: what is in it is dealt with before the next one reads. */
const shared = Buffer.allocUnsafe(256 * 1024)

/** One viewer, as cheap as it can be: there are thousands in a process that must not be what is measured. */
export class Viewer {
  /** Bytes of the room's stream that it has got. */
  offset = 0
  /** Its stream is not the room's. */
  isDifferent = false
  isConnected = false
  socket: Socket | undefined
  #head: Buffer | undefined
  readonly #parse: ((bytes: Buffer) => void) | undefined

  constructor (readonly options: ViewerOptions) {
    const { sequence, acceptsGzip } = options
    this.#parse = sequence && (acceptsGzip ? inflated(sequence) : (bytes) => sequence.accept(bytes))
  }

  /** @returns when the head of the stream has come */
  async open (): Promise<void> {
    const { port, protocol, path, sequence, acceptsGzip } = this.options
    await new Promise<void>((resolve, reject) => {
      this.#head = Buffer.alloc(0)
      let hasJoined = protocol === 'sse'
      const onHead = (head: Buffer) => {
        this.#head = head
        try {
          if (!hasJoined && mayJoin(head)) {
            hasJoined = true
            socket.write(JOIN_FRAME)
          }
          const start = streamStart(protocol, head)
          if (start < 0) return
          this.#head = undefined
          this.isConnected = true
          const rest = head.subarray(start)
          if (rest.length > 0) this.#accept(rest, rest.length)
          resolve()
        } catch (error) {
          reject(error)
        }
      }
      const socket = connect({
        port,
        host: '127.0.0.1',
        onread: {
          buffer: shared,
          callback: (length) => {
            if (this.#head === undefined) this.#accept(shared, length)
            else onHead(Buffer.concat([this.#head, shared.subarray(0, length)]))
            return true
          }
        }
      }, () => socket.write(requestHead(protocol, path, sequence?.lastEventId ?? '', acceptsGzip)))
      this.socket = socket
      socket.setNoDelay(true)
      socket.on('error', reject)
      socket.on('close', () => {
        if (this.socket === socket) this.isConnected = false
        reject(new Error('closed before the stream began'))
      })
    })
  }

  /** Leaves without a word. */
  cut () {
    const { socket } = this
    this.socket = undefined
    this.isConnected = false
    this.options.sequence?.cut()
    socket?.destroy()
  }

  #accept (bytes: Buffer, length: number) {
    const { room } = this.options
    this.#parse?.(bytes.subarray(0, length))
    if (room !== undefined && !this.isDifferent) this.isDifferent = !room.accept(this.offset, bytes, length)
    this.offset += length
  }
}

/** What the room's blocks say, one after the other. */
function inflated (sequence: Sequence): (bytes: Buffer) => void {
  const inflate = createInflateRaw()
  inflate.on('data', (plain: Buffer) => sequence.accept(plain))
  // The buffer is used for the next viewer before it is read here.
  return (bytes) => { inflate.write(Buffer.from(bytes)) }
}
