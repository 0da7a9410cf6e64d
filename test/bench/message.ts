/**
 * Messages of the benchmark: JSON of a given size, with a mark `~n@µs~` in it, which stays as it is in whatever a
 * server wraps the message in: so the load generator finds it without parsing.
 */

const MARK = /~(\d+)@(\d+)~/g
/** No longer than this is a mark. */
export const MARK_LENGTH = 40
const WORDS = 'the a you this that what is it not so they we say see go come stream game wow nice lol yes no why how who when where one more time again look love hate best ever never really just like still here there now then good bad first last play song win lose hit miss run wait stop hello everyone from chat mod please thanks haha omg clip camera music sound lag loud quiet left right up down big small happy sad crazy real fake old new day night team round score point goal'.split(' ')
/** As unlike as people's messages are: what is compressed must not be easier than that. */
const TEXT = Array.from({ length: 20_000 }, () => WORDS[Math.floor(Math.random() * WORDS.length)]).join(' ')

/** The same clock in all processes of a machine. */
export function nowUs (): number {
  return Number(process.hrtime.bigint() / 1000n)
}

/** @param n counts the messages of the room, from 0 */
export function makeMessage (n: number, bytes: number): string {
  const start = `{"id":"~${n}@${nowUs()}~","nickname":"viewer","message":"`
  const missing = Math.max(0, bytes - start.length - 2)
  const from = Math.floor(Math.random() * (TEXT.length - missing))
  return `${start}${TEXT.slice(from, from + missing)}"}`
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
