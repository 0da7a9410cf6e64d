// @ts-check

// The items of the list: messages and notices. Whatever was published is shown as text, and never as anything else.

import { formatTime, say, text } from './texts.js'

/** A longer text is cut in the list: one message must not cost a frame. */
const TEXT_LIMIT = 2_000
const DETAIL_LIMIT = 300

/** @param {string} raw a message as it was published, whatever it is @param {string} myId the author of one's own messages */
export function createMessage (raw, myId) {
  const message = parseMessage(raw)
  const item = createElement('div', 'item')
  item.dataset['kind'] = 'message'
  if (message === undefined) {
    item.classList.add('plain')
    item.append(createElement('p', 'text', raw.slice(0, TEXT_LIMIT)))
    return item
  }
  if (message.id === myId) item.classList.add('own')
  const nickname = message.nickname || text('anonymous')
  item.style.setProperty('--hue', String(hue(nickname)))

  const avatar = createElement('span', 'avatar', firstLetter(nickname))
  avatar.ariaHidden = 'true'
  const meta = createElement('p', 'meta')
  const name = createElement('span', 'name', nickname)
  name.dir = 'auto'
  meta.append(name)
  const createdAt = new Date(message.createdAt)
  if (!Number.isNaN(createdAt.getTime())) {
    const time = document.createElement('time')
    time.dateTime = createdAt.toISOString()
    time.textContent = formatTime(createdAt)
    meta.append(time)
  }
  const words = createElement('p', 'text', message.message)
  words.dir = 'auto'
  const body = createElement('div', 'body')
  body.append(meta, words)
  item.append(avatar, body)
  return item
}

/** @param {import('./chat-client.js').ChatGap} gap */
export function createGapNotice ({ missed, reason }) {
  return missed === null ? createNotice('gap', 'gapUnknown', {}, reason) : createNotice('gap', 'gap', { n: missed }, reason)
}

/** @param {string | null} payload what was published with the end; null if that is not known */
export function createEndNotice (payload) {
  return createNotice('end', 'roomEnded', {}, payload === null ? '' : endReason(payload))
}

/** @param {'gap' | 'end'} kind @param {string} key @param {Record<string, number>} values @param {string} detail */
function createNotice (kind, key, values, detail) {
  const notice = createElement('div', 'item notice')
  notice.dataset['kind'] = kind
  const line = createElement('p', '')
  const sentence = createElement('span', '')
  say(sentence, key, values)
  line.append(sentence)
  if (detail !== '') line.append(createElement('small', '', detail.slice(0, DETAIL_LIMIT)))
  notice.append(line)
  return notice
}

/** @param {string} tag @param {string} className @param {string} [content] only ever shown as text */
function createElement (tag, className, content = '') {
  const element = document.createElement(tag)
  if (className !== '') element.className = className
  element.textContent = content
  return element
}

/** @param {string} raw @returns {Record<'id' | 'nickname' | 'message' | 'createdAt', string> | undefined} */
function parseMessage (raw) {
  const value = parseJson(raw)
  if (typeof value?.message !== 'string') return undefined
  /** @param {string} key @param {number} limit */
  const field = (key, limit) => typeof value[key] === 'string' ? value[key].slice(0, limit) : ''
  return {
    id: field('id', 100),
    nickname: field('nickname', 60).trim(),
    message: field('message', TEXT_LIMIT),
    createdAt: field('createdAt', 40)
  }
}

/** @param {string} payload */
function endReason (payload) {
  const value = parseJson(payload)
  return [value?.message, value?.reason].find(reason => typeof reason === 'string' && reason !== '') ?? payload
}

/** @param {string} raw @returns {any} undefined if it is not JSON: anything may be published */
function parseJson (raw) {
  try {
    return JSON.parse(raw)
  } catch {
    return undefined
  }
}

/** The same colour for the same name, on every page. @param {string} nickname */
function hue (nickname) {
  let hash = 0
  for (const character of nickname) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0
  return hash % 24 * 15
}

const graphemes = 'Segmenter' in Intl ? new Intl.Segmenter() : undefined

/** What reads as one letter, which an emoji or a Hangul syllable in parts is too. @param {string} nickname */
function firstLetter (nickname) {
  const letter = graphemes?.segment(nickname)[Symbol.iterator]().next().value?.segment ?? Array.from(nickname)[0] ?? ''
  return letter.toUpperCase()
}
