/** Time as the domain sees it, so that tests can stop it. */
export interface Clock {
  /** Milliseconds of a clock that never goes back; its zero means nothing. */
  now (): number
  /** Wall-clock time in ms since 1970. */
  epochMs (): number
  /** Calls back once after `delayMs`, without keeping the process alive. Returns what cancels it; cancelling twice is harmless. */
  after (delayMs: number, callback: () => void): () => void
  /** Calls back once the I/O of this turn of the event loop has been handled. */
  soon (callback: () => void): void
}

let due: Array<() => void> = []

/** What one of them throws keeps the others waiting for no longer than a turn. */
function doDue () {
  const callbacks = due.values()
  due = []
  try {
    for (const callback of callbacks) callback()
  } finally {
    for (const callback of callbacks) systemClock.soon(callback)
  }
}

export const systemClock: Clock = {
  now: () => performance.now(),
  epochMs: () => Date.now(),
  after (delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
  // One wake-up for all, so that what they send can go out together.
  soon: (callback) => { if (due.push(callback) === 1) setImmediate(doDue) }
}
