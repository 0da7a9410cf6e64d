import { constants, createGunzip, type Gunzip } from 'node:zlib'

/** What comes on a stream. */
export interface EventHandlers {
  /** Once, before anything else. */
  onHead (status: number): void
  /** What EventSource keeps as the last event id although it dispatches no event. */
  onId (id: string): void
  onEvent (event: string, id: string, data: string): void
  onRetry (retryMs: number): void
  onComment (text: string): void
  /** What came is not what was announced. */
  onMalformed (problem: string): void
  /** Everything that came has been told. */
  onEnd (): void
}

const HEAD_END = '\r\n\r\n'
const EVENT_END = '\n\n'

/**
 * Reads one answer as EventSource does: what is not complete when the stream ends is not dispatched. The servers end a stream with its
 * connection, so its body needs no framing.
 */
export class EventReader {
  #head: string | undefined = ''
  #rest = ''
  #gunzip: Gunzip | undefined
  #hasEnded = false

  constructor (private readonly handlers: EventHandlers) {}

  /** @param bytes are not used any more when this returns */
  accept (bytes: Buffer) {
    if (this.#head !== undefined) this.#onHead(bytes)
    else if (this.#gunzip === undefined) this.#onText(bytes.toString('latin1'))
    else if (this.#gunzip.writable) this.#gunzip.write(Buffer.from(bytes))
  }

  /** The connection is closed. */
  end () {
    if (this.#gunzip === undefined) this.#end()
    else this.#gunzip.end()
  }

  /** Nothing is told any more. */
  cancel () {
    this.#hasEnded = true
    this.#gunzip?.destroy()
  }

  #onHead (bytes: Buffer) {
    const text = `${this.#head}${bytes.toString('latin1')}`
    const end = text.indexOf(HEAD_END)
    if (end < 0) {
      this.#head = text
      return
    }
    const head = text.slice(0, end)
    const body = Buffer.from(text.slice(end + HEAD_END.length), 'latin1')
    this.#head = undefined
    if (/^content-encoding: *gzip/im.test(head)) this.#decompress()
    this.handlers.onHead(Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]))
    if (!this.#hasEnded) this.accept(body)
  }

  #decompress () {
    // The stream has no trailer: its end is no error, and must not cost what came last.
    this.#gunzip = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH })
      .on('data', (bytes: Buffer) => this.#onText(bytes.toString('latin1')))
      .on('error', ({ message }) => this.handlers.onMalformed(message))
      .on('close', () => this.#end())
  }

  #end () {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.handlers.onEnd()
  }

  #onText (text: string) {
    const all = this.#rest + text
    let start = 0
    for (let end = all.indexOf(EVENT_END); end >= 0 && !this.#hasEnded; end = all.indexOf(EVENT_END, start)) {
      this.#onBlock(all.slice(start, end))
      start = end + EVENT_END.length
    }
    this.#rest = all.slice(start)
  }

  #onBlock (block: string) {
    let [id, event, data]: [string | undefined, string, string | undefined] = [undefined, '', undefined]
    for (const line of block.split('\n')) {
      const colon = line.indexOf(':')
      const value = line.slice(colon + 1)
      switch (line.slice(0, colon)) {
        case 'id': id = value; break
        case 'event': event = value; break
        case 'data': data = data === undefined ? value : `${data}\n${value}`; break
        case 'retry': this.handlers.onRetry(Number(value)); break
        case '': if (value !== '') this.handlers.onComment(value)
      }
    }
    if (data !== undefined) this.handlers.onEvent(event, id ?? '', data)
    else if (id !== undefined) this.handlers.onId(id)
  }
}
