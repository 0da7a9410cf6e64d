// @ts-check

// Every text of the page, in English and Korean. An element that was given its text here keeps the key and the values
// in its data attributes, so that all of them change with the language: `<p data-i18n="gap" data-n="3">`.

import { store, stored } from './browser.js'

/** @type {Record<string, Record<string, string>>} */
const TEXTS = {
  en: {
    title: 'Live chat',
    viewers: 'Viewers',
    received: 'Received',
    perSecond: '/s',
    messages: 'Messages',
    empty: 'No messages yet',
    emptyHint: 'Say hello, or open this page’s link in a second tab and chat with yourself.',
    newBelow: 'New messages below ({n})',
    message: 'Message',
    placeholder: 'Message as {name}',
    send: 'Send',
    guest: 'Guest {n}',
    anonymous: 'Anonymous',
    menu: 'Room and settings',
    close: 'Close',
    room: 'Room',
    roomLabel: 'Room id or link',
    roomInvalid: 'That is not a room id (a UUID) or a link to a room.',
    join: 'Join',
    copyLink: 'Copy link',
    copied: 'Copied',
    share: 'Share',
    newRoom: 'New room',
    you: 'You',
    nickname: 'Nickname',
    language: 'Language',
    publishKey: 'Publish key',
    publishKeyLabel: 'Sent with your messages',
    publishKeyHint: 'Needed only if the server asks for one. It is forgotten when this page is closed.',
    endRoom: 'End room',
    endTitle: 'End this room?',
    endText: 'Everyone is disconnected, and nobody can write here again.',
    endedBy: 'Ended by {name}',
    cancel: 'Cancel',
    connecting: 'Connecting',
    open: 'Live',
    reconnecting: 'Reconnecting',
    ended: 'Ended',
    failed: 'Refused',
    closed: 'Closed',
    gap: 'Messages missed here: {n}',
    gapUnknown: 'Some messages may be missing here',
    roomEnded: 'This room has ended.',
    roomRefused: 'The server refused this room. {message}',
    error400: 'The server could not read the message.',
    error401: 'This server asks for a publish key. It goes under “Publish key”.',
    error403: 'The publish key is not allowed to do this.',
    error404: 'Publishing over HTTP is not enabled on this server.',
    error410: 'This room has ended.',
    error413: 'The message is too long.',
    errorOther: 'The server could not be reached. Try again in a moment.'
  },
  ko: {
    title: '라이브 채팅',
    viewers: '시청자',
    received: '수신',
    perSecond: '건/초',
    messages: '메시지 목록',
    empty: '아직 메시지가 없습니다',
    emptyHint: '첫 인사를 남기거나, 이 페이지의 링크를 다른 탭에서 열어 대화해 보세요.',
    newBelow: '아래에 새 메시지 ({n})',
    message: '메시지',
    placeholder: '{name} 이름으로 메시지 보내기',
    send: '보내기',
    guest: '손님 {n}',
    anonymous: '익명',
    menu: '채팅방 및 설정',
    close: '닫기',
    room: '채팅방',
    roomLabel: '채팅방 ID 또는 링크',
    roomInvalid: '채팅방 ID(UUID)나 채팅방 링크가 아닙니다.',
    join: '입장',
    copyLink: '링크 복사',
    copied: '복사됨',
    share: '공유',
    newRoom: '새 채팅방',
    you: '내 정보',
    nickname: '닉네임',
    language: '언어',
    publishKey: '발행 키',
    publishKeyLabel: '메시지를 보낼 때 함께 전송됩니다',
    publishKeyHint: '서버가 요구할 때만 필요합니다. 이 페이지를 닫으면 지워집니다.',
    endRoom: '채팅방 종료',
    endTitle: '채팅방을 종료할까요?',
    endText: '모든 참여자의 연결이 끊기고, 더 이상 메시지를 보낼 수 없습니다.',
    endedBy: '{name} 님이 종료함',
    cancel: '취소',
    connecting: '연결 중',
    open: '실시간',
    reconnecting: '다시 연결 중',
    ended: '종료됨',
    failed: '거부됨',
    closed: '닫힘',
    gap: '여기서 메시지 {n}건을 놓쳤습니다',
    gapUnknown: '여기서 일부 메시지가 빠졌을 수 있습니다',
    roomEnded: '종료된 채팅방입니다.',
    roomRefused: '서버가 이 채팅방을 거부했습니다. {message}',
    error400: '서버가 메시지를 읽지 못했습니다.',
    error401: '이 서버는 발행 키가 필요합니다. ‘발행 키’에 입력해 주세요.',
    error403: '이 발행 키로는 할 수 없는 작업입니다.',
    error404: '이 서버는 HTTP로 메시지를 보낼 수 없게 설정되어 있습니다.',
    error410: '종료된 채팅방입니다.',
    error413: '메시지가 너무 깁니다.',
    errorOther: '서버에 연결할 수 없습니다. 잠시 후 다시 시도해 주세요.'
  }
}

/** Of the texts: the one chosen, else the browser's first that there is. */
export let language = stored('localStorage', 'chat.language') ?? ''
if (!(language in TEXTS)) language = navigator.languages.map(tag => tag.slice(0, 2)).find(tag => tag in TEXTS) ?? 'en'

let numberFormat = new Intl.NumberFormat(language)
let timeFormat = new Intl.DateTimeFormat(language, { hour: 'numeric', minute: '2-digit' })

/** @param {number} value */
export function formatNumber (value) { return numberFormat.format(value) }

/** @param {Date} value */
export function formatTime (value) { return timeFormat.format(value) }

/**
 * @param {string} key '' is the empty text
 * @param {Record<string, string | number | undefined>} [values] for the places in braces; `n` is a number
 */
export function text (key, values = {}) {
  const template = TEXTS[language]?.[key] ?? ''
  return template.replace(/\{(\w+)\}/g, (_, name) => name === 'n' ? formatNumber(Number(values['n'])) : String(values[name] ?? ''))
}

/**
 * Gives the element a text that follows the language.
 * @param {HTMLElement} element
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function say (element, key, values = {}) {
  element.dataset['i18n'] = key
  for (const [name, value] of Object.entries(values)) element.dataset[name] = String(value)
  show(element, text(key, values))
}

/** Shows a text, and spares the browser and screen readers one that is shown already. @param {HTMLElement} element @param {string} content */
export function show (element, content) {
  if (element.textContent !== content) element.textContent = content
}

/** @param {string} to */
export function setLanguage (to) {
  language = to
  store('localStorage', 'chat.language', to)
  numberFormat = new Intl.NumberFormat(to)
  timeFormat = new Intl.DateTimeFormat(to, { hour: 'numeric', minute: '2-digit' })
  translate()
}

/** Puts the whole page into the language. */
export function translate () {
  document.documentElement.lang = language
  document.title = text('title')
  for (const element of document.querySelectorAll('[data-i18n]')) {
    if (element instanceof HTMLElement) show(element, text(element.dataset['i18n'] ?? '', element.dataset))
  }
  for (const element of document.querySelectorAll('[data-i18n-label]')) {
    element.setAttribute('aria-label', text(element.getAttribute('data-i18n-label') ?? ''))
  }
}
