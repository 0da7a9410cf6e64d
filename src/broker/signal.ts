import type { Signal } from './broker.js'

/** Longer texts are none, and are not looked at. */
const MAX_LENGTH = 200
const INTEGER = /^\d{1,15}$/

/** @returns undefined for what is no signal: anybody may publish there */
export function parseSignal (text: string): Signal | undefined {
  const [type = '', name, first = '', second = '', ...rest] = text.slice(0, MAX_LENGTH).split(' ')
  if (!name || rest.length > 0) return undefined
  if (type === 'mark' && second === '') return { type, instance: name, word: first }
  if ((type === 'claimed' || type === 'released') && INTEGER.test(first)) return { type, instance: name, term: Number(first) }
  if (type === 'marked' && INTEGER.test(first) && INTEGER.test(second)) return { type, word: name, term: Number(first), n: Number(second) }
  return undefined
}
