// @ts-check

// The server's own chat page: joins the room in the URL, shows what comes, sends what is typed. It is built for
// floods: whatever arrives between two frames is drawn at once, and no more of it than the list can hold.

import { ChatClient } from './chat-client.js'

/** @typedef {import('./chat-client.js').ChatState} ChatState */
/** @typedef {import('./chat-client.js').ChatGap} ChatGap */
/** @typedef {{ kind: 'message', text: string } | { kind: 'gap', gap: ChatGap } | { kind: 'end', payload: string | null }} Item */

/** Most items the list ever holds. */
const LIST_LIMIT = 300
/**
 * Items kept while the reader follows the newest. One who scrolled up gets the rest as read-ahead below; nothing above
 * is removed then, so what is being read never moves.
 */
const FOLLOW_LIMIT = 200
/**
 * Most items drawn in one frame, and the fewest it goes down to where frames take longer than SLOW_FRAME_MS: a slow
 * phone in a flood shows fewer of the messages, and stays usable.
 */
const FRAME_ITEMS_MAX = 32
const FRAME_ITEMS_MIN = 4
const SLOW_FRAME_MS = 50
/** Messages asked for on joining. */
const RECENT_MESSAGES = 100
/** A longer text is cut in the list: one message must not cost a frame. */
const TEXT_LIMIT = 2_000
/** Above this rate a screen reader cannot keep up, so it is not told of every message. */
const ANNOUNCED_MESSAGES_PER_SECOND = 3
const SEND_TIMEOUT_MS = 15_000
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i

/** @type {Record<string, Record<string, string>>} */
const TEXTS = {
  en: {
    title: 'Live chat',
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

/**
 * The page's element of that id; a missing one is a mistake in index.html.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
function byId (id, type) {
  const element = document.getElementById(id)
  if (!(element instanceof type)) throw new TypeError(`no ${type.name} with the id ${id}`)
  return element
}

const chat = byId('chat', HTMLElement)
const list = byId('list', HTMLElement)
const newMessages = byId('new-messages', HTMLButtonElement)
const stateElement = byId('state', HTMLElement)
const stateText = byId('state-text', HTMLElement)
const receivedElement = byId('received', HTMLElement)
const rateElement = byId('rate', HTMLElement)
const composer = byId('composer', HTMLFormElement)
const messageField = byId('message', HTMLTextAreaElement)
const errorElement = byId('error', HTMLElement)
const closedBar = byId('closed-bar', HTMLElement)
const closedText = byId('closed-text', HTMLElement)
const panel = byId('panel', HTMLElement)
const menu = byId('menu', HTMLButtonElement)
const roomField = byId('room', HTMLInputElement)
const roomError = byId('room-error', HTMLElement)
const copyLink = byId('copy-link', HTMLButtonElement)
const nicknameField = byId('nickname', HTMLInputElement)
const languageField = byId('language', HTMLSelectElement)
const keyField = byId('publish-key', HTMLInputElement)
const endRoom = byId('end-room', HTMLButtonElement)
const endDialog = byId('end-dialog', HTMLDialogElement)

/** Sent as the `id` of this tab's messages: it survives a reload, and two tabs are two people. */
const myId = stored(() => sessionStorage, 'chat.id') ?? randomUuid()
store(() => sessionStorage, 'chat.id', myId)

let room = ''
/** @type {ChatClient | undefined} */ let client
/** What a refusing server said. */ let refusal = ''

/** Arrived and not yet drawn; at most twice FOLLOW_LIMIT. @type {Item[]} */ let queue = []
let frame = 0
let frameItems = FRAME_ITEMS_MAX
/** When a frame was drawn that left some for the next one; else 0. */ let busySince = 0
/** Whether the newest message is kept in view. */ let following = true
let lastScrollTop = 0
let unseen = 0
let received = 0

// Texts

let language = stored(() => localStorage, 'chat.language') ?? ''
if (!(language in TEXTS)) language = navigator.languages.map(tag => tag.slice(0, 2)).find(tag => tag in TEXTS) ?? 'en'
let timeFormat = new Intl.DateTimeFormat(language, { hour: 'numeric', minute: '2-digit' })
let numberFormat = new Intl.NumberFormat(language)

/** @param {string} key @param {Record<string, string | number>} [values] */
function text (key, values = {}) {
  const template = TEXTS[language]?.[key] ?? key
  return template.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name] ?? ''
    return typeof value === 'number' ? numberFormat.format(value) : value
  })
}

/** @param {string} to */
function setLanguage (to) {
  language = to
  timeFormat = new Intl.DateTimeFormat(language, { hour: 'numeric', minute: '2-digit' })
  numberFormat = new Intl.NumberFormat(language)
  document.documentElement.lang = language
  document.title = text('title')
  languageField.value = language
  for (const element of document.querySelectorAll('[data-i18n]')) {
    element.textContent = text(element.getAttribute('data-i18n') ?? '')
  }
  for (const element of document.querySelectorAll('[data-i18n-label]')) {
    element.setAttribute('aria-label', text(element.getAttribute('data-i18n-label') ?? ''))
  }
  for (const [element, item] of notices) if (element.isConnected) fillNotice(element, item)
  errorElement.textContent = ''
  roomError.textContent = ''
  showNickname()
  showState()
  showFigures()
}

// The list

/** @param {Item[]} items in the order they came */
function enqueue (items) {
  for (const item of items.slice(-FOLLOW_LIMIT)) queue.push(item)
  // Frames stop while the tab is hidden, and a full list takes nothing while its reader is scrolled up. What is cut here
  // would have left the list again before anyone read it. Cut rarely, so that the cutting costs nothing.
  if (queue.length > 2 * FOLLOW_LIMIT) queue = queue.slice(-FOLLOW_LIMIT)
  draw()
}

function draw () {
  if (frame === 0) frame = requestAnimationFrame(render)
}

/** @param {number} now */
function render (now) {
  frame = 0
  if (busySince > 0) {
    const isSlow = now - busySince > SLOW_FRAME_MS
    frameItems = isSlow ? Math.max(FRAME_ITEMS_MIN, frameItems >> 1) : Math.min(FRAME_ITEMS_MAX, frameItems + 1)
  }
  const room = following ? FOLLOW_LIMIT : LIST_LIMIT - list.childElementCount
  const items = queue.splice(0, Math.min(room, frameItems))
  if (items.length > 0) {
    const fragment = document.createDocumentFragment()
    for (const item of items) fragment.append(item.kind === 'message' ? createMessage(item.text) : createNotice(item))
    if (following) trim(list.childElementCount + items.length - FOLLOW_LIMIT)
    list.append(fragment)
  }
  busySince = queue.length > 0 && items.length < room ? now : 0
  if (busySince > 0) draw()
  if (following) scrollToNewest()
  showFigures()
}

/** @param {number} count how many of the oldest items to remove */
function trim (count) {
  for (let i = 0; i < count; i++) {
    const oldest = list.firstElementChild
    if (oldest === null) return
    notices.delete(oldest)
    oldest.remove()
  }
}

function scrollToNewest () {
  list.scrollTop = list.scrollHeight
  lastScrollTop = list.scrollTop
}

/** @param {boolean} to */
function setFollowing (to) {
  if (to === following) return
  following = to
  unseen = 0
  draw()
}

function onScroll () {
  const top = list.scrollTop
  const toBottom = list.scrollHeight - list.clientHeight - top
  // The direction tells, not the distance: a smooth scroll upwards begins with a pixel or two, and while messages pour
  // in it must not be pulled back. Downwards a near miss counts as the bottom.
  if (toBottom <= (top > lastScrollTop ? 24 : 1)) setFollowing(true)
  else if (top < lastScrollTop) setFollowing(false)
  lastScrollTop = top
}

/** @param {string} raw a message as it was published, whatever it is */
function createMessage (raw) {
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
    time.textContent = timeFormat.format(createdAt)
    meta.append(time)
  }
  const words = createElement('p', 'text', message.message)
  words.dir = 'auto'
  const body = createElement('div', 'body')
  body.append(meta, words)
  item.append(avatar, body)
  return item
}

/** Notices in the list, to be put into the other language when it changes. @type {Map<Element, Item>} */
const notices = new Map()

/** @param {Item} item */
function createNotice (item) {
  const notice = createElement('div', 'item notice')
  notice.dataset['kind'] = item.kind
  notices.set(notice, item)
  fillNotice(notice, item)
  return notice
}

/** @param {Element} notice @param {Item} item */
function fillNotice (notice, item) {
  const line = document.createElement('p')
  if (item.kind === 'gap') {
    const { missed, reason } = item.gap
    line.textContent = missed === null ? text('gapUnknown') : text('gap', { n: missed })
    line.append(createElement('small', '', reason))
  } else if (item.kind === 'end') {
    line.textContent = text('roomEnded')
    if (item.payload) line.append(createElement('small', '', endReason(item.payload).slice(0, 300)))
  }
  notice.replaceChildren(line)
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

// Figures and state

/** @param {HTMLElement} element @param {string} content */
function show (element, content) {
  if (element.textContent !== content) element.textContent = content
}

function showFigures () {
  show(receivedElement, numberFormat.format(received))
  newMessages.hidden = following || unseen === 0
  show(newMessages, text('newBelow', { n: unseen }))
}

let ratedAt = performance.now()
let ratedReceived = 0

setInterval(() => {
  const now = performance.now()
  const rate = (received - ratedReceived) * 1_000 / (now - ratedAt)
  ratedAt = now
  ratedReceived = received
  show(rateElement, numberFormat.format(Math.round(rate)))
  list.ariaLive = rate > ANNOUNCED_MESSAGES_PER_SECOND ? 'off' : 'polite'
}, 1_000)

function showState () {
  const state = client?.state ?? 'connecting'
  const isOver = state === 'ended' || state === 'failed'
  stateElement.dataset['state'] = state
  show(stateText, text(state))
  composer.hidden = isOver
  closedBar.hidden = !isOver
  closedText.textContent = state === 'failed' ? text('roomRefused', { message: refusal }) : text('roomEnded')
  endRoom.disabled = isOver
}

// The room

/** @param {string} id */
function join (id) {
  client?.close()
  room = id
  refusal = ''
  queue = []
  notices.clear()
  list.replaceChildren()
  received = ratedReceived = unseen = 0
  following = true
  roomField.value = id
  roomError.textContent = ''
  errorElement.textContent = ''
  const joined = client = new ChatClient(apiUrl('sse-connect/', ''), {
    recent: RECENT_MESSAGES,
    onMessages (messages) {
      received += messages.length
      if (!following) unseen += messages.length
      enqueue(messages.slice(-FOLLOW_LIMIT).map(text => ({ kind: 'message', text })))
    },
    onGap (gap) { enqueue([{ kind: 'gap', gap }]) },
    onEnd (payload) { enqueue([{ kind: 'end', payload }]) },
    onStateChange (_, failure) {
      if (joined !== client) return
      refusal = failure?.message ?? ''
      showState()
    }
  })
  showState()
  draw()
}

/** Joins, and makes it a step of its own in the browser's history. @param {string} id */
function moveTo (id) {
  if (id !== room) history.pushState(null, '', `?room=${id}`)
  join(id)
  closePanel()
}

function joinFromUrl () {
  const id = new URLSearchParams(location.search).get('room') || randomUuid()
  // An id that is none goes to the server as it is, which says so.
  history.replaceState(null, '', `?room=${encodeURIComponent(id)}`)
  join(id)
}

/** @param {string} before @param {string} after */
function apiUrl (before, after) {
  return new URL(`api/v1/chats/${before}${encodeURIComponent(room)}${after}`, document.baseURI)
}

/** @param {'/messages' | '/end'} action @param {object} body @returns {Promise<boolean>} whether the server took it */
async function post (action, body) {
  /** @type {Record<string, string>} */
  const headers = { 'content-type': 'application/json', 'accept-language': language }
  if (keyField.value !== '') headers['authorization'] = `Bearer ${keyField.value}`
  let status = 0
  try {
    const response = await fetch(apiUrl('', action), {
      method: 'POST', headers, body: JSON.stringify(body), signal: AbortSignal.timeout(SEND_TIMEOUT_MS)
    })
    status = response.status
    if (response.ok) {
      errorElement.textContent = ''
      return true
    }
  } catch {
    // No answer, or a key that fits into no header: said below like any other failure.
  }
  const key = `error${status}`
  errorElement.textContent = text(key in (TEXTS[language] ?? {}) ? key : 'errorOther')
  if (status === 401) byId('key-details', HTMLDetailsElement).open = true
  return false
}

async function send () {
  const message = messageField.value.trim()
  if (message === '' || composer.hidden) return
  messageField.value = ''
  messageField.focus()
  setFollowing(true)
  const sentTo = room
  const taken = await post('/messages', {
    id: myId, nickname: nickname(), profileImgUrl: '', message, createdAt: new Date().toISOString()
  })
  // What could not be sent goes back, above what has been typed since.
  if (!taken && sentTo === room) messageField.value = [message, messageField.value].filter(Boolean).join('\n')
}

/** A name nobody typed is drawn from the id, so that two tabs do not look alike. */
function defaultNickname () {
  return text('guest', { n: String(Number.parseInt(myId.slice(0, 4), 16) % 900 + 100) })
}

function nickname () { return nicknameField.value.trim() || defaultNickname() }

function showNickname () {
  nicknameField.placeholder = defaultNickname()
  messageField.placeholder = text('placeholder', { name: nickname() })
}

// The panel; on a wide screen it is always there and none of this shows

function openPanel () {
  panel.toggleAttribute('data-open', true)
  menu.ariaExpanded = 'true'
  chat.inert = true
  byId('panel-close', HTMLButtonElement).focus()
}

function closePanel () {
  if (!chat.inert) return
  panel.toggleAttribute('data-open', false)
  menu.ariaExpanded = 'false'
  chat.inert = false
  menu.focus()
}

// Storage and the like

/** @param {() => Storage} storage @param {string} key */
function stored (storage, key) {
  try {
    return storage().getItem(key)
  } catch {
    return null // the reader blocks storage: nothing is remembered, everything else works
  }
}

/** @param {() => Storage} storage @param {string} key @param {string} value */
function store (storage, key, value) {
  try {
    storage().setItem(key, value)
  } catch {
    // As above.
  }
}

/** Version 4, RFC 9562. `crypto.randomUUID` is missing on plain HTTP, as on a server tried out in a local network. */
function randomUuid () {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  const hex = Array.from(bytes, (byte, i) => {
    const value = i === 6 ? (byte & 0x0f) | 0x40 : i === 8 ? (byte & 0x3f) | 0x80 : byte
    return value.toString(16).padStart(2, '0')
  }).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

/** The clipboard API is missing on plain HTTP too; the old way needs a selection. @param {string} value */
async function copy (value) {
  try {
    await navigator.clipboard.writeText(value)
  } catch {
    const field = document.createElement('textarea')
    field.value = value
    panel.append(field)
    field.select()
    document.execCommand('copy')
    field.remove()
  }
}

// What the reader does

list.addEventListener('scroll', onScroll, { passive: true })
new ResizeObserver(() => { if (following) scrollToNewest() }).observe(list)
newMessages.addEventListener('click', () => {
  setFollowing(true)
  list.focus({ preventScroll: true })
})
// The button floats over the list without being part of it: turning the wheel there scrolls what is below.
newMessages.addEventListener('wheel', (event) => list.scrollBy({ top: event.deltaY }), { passive: true })

composer.addEventListener('submit', (event) => {
  event.preventDefault()
  send()
})
messageField.addEventListener('keydown', (event) => {
  // Enter also ends a Hangul syllable being composed (Safari says so by key code 229 only): that sends nothing.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return
  event.preventDefault()
  send()
})

byId('room-form', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault()
  const id = UUID.exec(roomField.value)?.[0].toLowerCase()
  roomError.textContent = id === undefined ? text('roomInvalid') : ''
  if (id !== undefined) moveTo(id)
})
for (const id of ['new-room', 'closed-new-room']) {
  byId(id, HTMLButtonElement).addEventListener('click', () => moveTo(randomUuid()))
}
addEventListener('popstate', joinFromUrl)
// A page that comes back from the browser's back/forward cache may have lost its stream without being told.
addEventListener('pageshow', (event) => { if (event.persisted) joinFromUrl() })

copyLink.addEventListener('click', async () => {
  await copy(location.href)
  const label = copyLink.firstElementChild
  if (label === null) return
  label.textContent = text('copied')
  setTimeout(() => { label.textContent = text('copyLink') }, 2_000)
})
const share = byId('share', HTMLButtonElement)
share.hidden = !('share' in navigator)
share.addEventListener('click', () => {
  navigator.share({ title: document.title, url: location.href }).catch(() => {}) // the reader changed their mind
})

nicknameField.value = stored(() => localStorage, 'chat.nickname') ?? ''
nicknameField.addEventListener('input', () => {
  store(() => localStorage, 'chat.nickname', nicknameField.value.trim())
  showNickname()
})
languageField.addEventListener('change', () => {
  store(() => localStorage, 'chat.language', languageField.value)
  setLanguage(languageField.value)
})

endRoom.addEventListener('click', () => {
  closePanel()
  endDialog.showModal()
})
byId('end-cancel', HTMLButtonElement).addEventListener('click', () => endDialog.close())
byId('end-confirm', HTMLButtonElement).addEventListener('click', () => {
  endDialog.close()
  post('/end', { reason: text('endedBy', { name: nickname() }), endedAt: new Date().toISOString() })
})

menu.addEventListener('click', openPanel)
byId('panel-close', HTMLButtonElement).addEventListener('click', closePanel)
byId('backdrop', HTMLElement).addEventListener('click', closePanel)
addEventListener('keydown', (event) => { if (event.key === 'Escape') closePanel() })
// On a screen grown wide, e.g. a tablet turned round, the sheet has become a column: the chat must not stay inert.
matchMedia('(min-width: 900px)').addEventListener('change', closePanel)

joinFromUrl()
setLanguage(language)
