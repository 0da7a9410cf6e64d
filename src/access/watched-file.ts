import { stat, readFile } from 'node:fs/promises'
import type { Clock } from '../clock.js'
import type { Log } from '../log.js'

const POLL_MS = 1000

export interface WatchedFileOptions<T> {
  readonly path: string
  /** The setting that names the file, for the log. */
  readonly setting: string
  /** @throws Error that says what is wrong with the text, and shows no secret */
  readonly parse: (text: string) => T
  readonly clock: Clock
  readonly log: Log
}

/**
 * A file that is parsed again when it has changed. It is looked at every second: that also notices files that are replaced
 * or mounted, of which no event comes. While it is broken or missing, what it said last holds, and that is said once.
 */
export class WatchedFile<T> {
  #stamp = ''
  #closed = false
  #cancelPoll: (() => void) | undefined

  private constructor (private readonly options: WatchedFileOptions<T>, public value: T) {}

  /** @throws Error when the file cannot be read, or as `parse` does */
  static async open<T> (options: WatchedFileOptions<T>): Promise<WatchedFile<T>> {
    try {
      // The stamp comes first: what changes while the file is read is seen at the next look.
      const stamp = await stampOf(options.path)
      const file = new WatchedFile(options, options.parse(await readFile(options.path, 'utf8')))
      file.#stamp = stamp
      file.#pollLater()
      return file
    } catch (error) {
      throw new Error(`${options.setting}: ${reasonOf(error)}`, { cause: error })
    }
  }

  close () {
    this.#closed = true
    this.#cancelPoll?.()
  }

  #pollLater () {
    if (!this.#closed) this.#cancelPoll = this.options.clock.after(POLL_MS, () => { this.#poll().finally(() => this.#pollLater()) })
  }

  async #poll () {
    const { path, setting, parse, log } = this.options
    const stamp = await stampOf(path).catch(reasonOf)
    if (stamp === this.#stamp) return
    this.#stamp = stamp
    try {
      this.value = parse(await readFile(path, 'utf8'))
      log.info({ setting }, 'file has changed and is in force')
    } catch (error) {
      log.error({ setting, reason: reasonOf(error) }, 'file is broken, what it said before stays in force')
    }
  }
}

/** Differs when the file was written or replaced; its times alone may be set back by who copies it. */
async function stampOf (path: string): Promise<string> {
  const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
  return [ino, size, mtimeNs, ctimeNs].join()
}

function reasonOf (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
