import { connect, type Socket } from 'node:net'
import { Account } from './account.js'
import { EventReader, type EventHandlers } from './event-reader.js'
import { count, type Findings } from './findings.js'
import type { Room } from './room.js'

export interface ViewerOptions {
  /** Of the load balancer. */
  readonly port: number
  readonly findings: Findings
  readonly isGzip: boolean
  /** A new viewer asks for so many of the latest messages. */
  readonly recent: number
}

/** Before a server has said another one. */
const RETRY_MS = 1000

/** All sockets read into one buffer: what is in it is dealt with before the next one reads. */
const shared = Buffer.allocUnsafe(256 * 1024)

/** Somebody who watches a room through the load balancer, behaves as EventSource does, and accounts for what it is told. */
export class Viewer implements EventHandlers {
  readonly account: Account
  isConnected = false
  /** The room has ended, or it was sent away for good. */
  isDone = false
  #socket: Socket | undefined
  #reader: EventReader | undefined
  #retryMs = RETRY_MS
  #retry: NodeJS.Timeout | undefined
  #connects = 0

  constructor (readonly name: string, readonly room: Room, private readonly options: ViewerOptions) {
    this.account = new Account(name, room, options.findings)
  }

  /** For a report. */
  get state (): string {
    const stream = this.isDone ? 'done' : this.isConnected ? 'connected' : this.isAway ? 'away' : this.#socket === undefined ? 'about to reconnect' : 'connecting'
    return `${this.name} in room ${this.room.index} (${this.room.path}, ${this.room.id}): ${stream}${this.options.isGzip ? ' with gzip' : ''}, at ${this.account.lastEventId || 'no id'}, ` +
      `has ${this.account.highest} of ${this.room.count}, ${this.#connects} streams`
  }

  get isAway () { return this.#socket === undefined && this.#retry === undefined }

  /** Opens a stream, and another one whenever that has ended. */
  watch () {
    this.#retry = undefined
    const reader = this.#reader = new EventReader(this)
    const socket = this.#socket = connect({
      port: this.options.port,
      host: '127.0.0.1',
      onread: {
        buffer: shared,
        callback: (length) => {
          reader.accept(shared.subarray(0, length))
          return true
        }
      }
    }, () => socket.write(this.#request()))
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('close', () => reader.end())
  }

  /** Reads nothing for a while; what comes meanwhile waits in the network, or further back. */
  stall (durationMs: number) {
    const socket = this.#socket?.pause()
    setTimeout(() => socket?.resume(), durationMs)
  }

  /** Breaks off, and comes back only when told to. */
  goAway () {
    clearTimeout(this.#retry)
    this.#retry = undefined
    this.#reader?.cancel()
    this.#socket?.destroy()
    this.#socket = undefined
    this.isConnected = false
  }

  onHead (status: number) {
    const { findings } = this.options
    if (status === 200) {
      this.isConnected = true
      findings.connects++
      if (this.#connects++ > 0) findings.reconnects++
      this.account.onHead()
      return
    }
    if (status === 204) this.account.onEnd()
    else findings.violate('sent-away', `${this.name} got ${status} in room ${this.room.index}`)
    this.#finish()
  }

  onId (id: string) {
    this.account.onId(id)
  }

  onEvent (event: string, id: string, data: string) {
    switch (event) {
      case '': return this.account.onBatch(id, data)
      case 'gap': return this.account.onGap(id, data)
      case 'viewers': return
      case 'end':
        this.account.onEnd()
        return this.#finish()
      default: this.options.findings.violate('malformed', `event ${event}`)
    }
  }

  onRetry (retryMs: number) {
    this.#retryMs = retryMs
  }

  onComment (text: string) {
    count(this.options.findings.refusals, text)
  }

  onMalformed (problem: string) {
    this.options.findings.violate('malformed', `${this.name} in room ${this.room.index}: ${problem}`)
  }

  onEnd () {
    this.isConnected = false
    this.#socket?.destroy()
    this.#socket = undefined
    if (!this.isDone) this.#retry = setTimeout(() => this.watch(), this.#retryMs)
  }

  #finish () {
    this.isDone = true
    this.goAway()
  }

  #request (): string {
    const { lastEventId } = this.account
    const query = lastEventId === '' && this.options.recent > 0 ? `?recent=${this.options.recent}` : ''
    return `GET /api/v1/chats/sse-connect/${this.room.id}${query} HTTP/1.1\r\nHost: soak\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n` +
      `${this.options.isGzip ? 'Accept-Encoding: gzip\r\n' : ''}${lastEventId === '' ? '' : `Last-Event-ID: ${lastEventId}\r\n`}\r\n`
  }
}
