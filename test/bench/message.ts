/**
 * Messages of the benchmark: JSON of a given size, with a mark `~n@µs~` in it, which stays as it is in whatever a
 * server wraps the message in: so the load generator finds it without parsing.
 */

const MARK = /~(\d+)@(\d+)~/g
/** No longer than this is a mark. */
export const MARK_LENGTH = 40
const TEXT = 'so this is what they say '

/** The same clock in all processes of a machine. */
export function nowUs (): number {
  return Number(process.hrtime.bigint() / 1000n)
}

/** @param n counts the messages of the room, from 0 */
export function makeMessage (n: number, bytes: number): string {
  const start = `{"id":"~${n}@${nowUs()}~","nickname":"viewer","message":"`
  const missing = Math.max(0, bytes - start.length - 2)
  return `${start}${TEXT.repeat(Math.ceil(missing / TEXT.length)).slice(0, missing)}"}`
}

/** @returns where the last mark ends */
export function eachMark (text: string, visit: (n: number, publishedUs: number) => void): number {
  let end = 0
  for (const match of text.matchAll(MARK)) {
    visit(Number(match[1]), Number(match[2]))
    end = match.index + match[0].length
  }
  return end
}
