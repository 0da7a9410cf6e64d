// @ts-check

// The server's own chat page: joins the room in the URL, shows what comes, sends what is typed.

import { byId, randomUuid, store, stored } from './browser.js'
import { ChatClient } from './chat-client.js'
import { createEndNotice, createGapNotice, createMessage } from './item.js'
import { addItems, clearItems, followNewest } from './message-list.js'
import { closePanel } from './panel.js'
import { formatNumber, language, say, setLanguage, show, text, translate } from './texts.js'

/** Messages asked for on joining. */
const RECENT_MESSAGES = 100
const RATE_INTERVAL_MS = 1_000
/** Above this rate a screen reader cannot keep up, so it is not told of every message. */
const ANNOUNCED_MESSAGES_PER_SECOND = 3
const SEND_TIMEOUT_MS = 15_000
/** Refusals that have a text of their own. */
const EXPLAINED_STATUSES = [400, 401, 403, 404, 410, 413]
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i

const list = byId('list', HTMLElement)
const state = byId('state', HTMLElement)
const stateText = byId('state-text', HTMLElement)
const viewers = byId('viewers', HTMLElement)
const viewerCount = byId('viewer-count', HTMLElement)
const receivedCount = byId('received', HTMLElement)
const receivedRate = byId('rate', HTMLElement)
const composer = byId('composer', HTMLFormElement)
const messageField = byId('message', HTMLTextAreaElement)
const sendError = byId('error', HTMLElement)
const closedBar = byId('closed-bar', HTMLElement)
const closedText = byId('closed-text', HTMLElement)
const roomField = byId('room', HTMLInputElement)
const roomError = byId('room-error', HTMLElement)
const nicknameField = byId('nickname', HTMLInputElement)
const languageField = byId('language', HTMLSelectElement)
const keyField = byId('publish-key', HTMLInputElement)
const endRoom = byId('end-room', HTMLButtonElement)
const endDialog = byId('end-dialog', HTMLDialogElement)

/** Sent as the `id` of this tab's messages: it survives a reload, and two tabs are two people. */
const myId = stored('sessionStorage', 'chat.id') ?? randomUuid()
store('sessionStorage', 'chat.id', myId)

let room = ''
/** @type {ChatClient | undefined} */ let client
let received = 0
let ratedAt = performance.now()
let ratedReceived = 0

// The room

/** @param {string} id */
function join (id) {
  client?.close()
  room = id
  received = ratedReceived = 0
  viewers.hidden = true
  clearItems()
  roomField.value = id
  say(roomError, '')
  say(sendError, '')
  client = new ChatClient(apiUrl('sse-connect/', ''), {
    recent: RECENT_MESSAGES,
    onMessages (messages) {
      received += messages.length
      show(receivedCount, formatNumber(received))
      addItems(messages.map(raw => () => createMessage(raw, myId)))
    },
    onViewers (count) {
      show(viewerCount, formatNumber(count))
      viewers.hidden = false
    },
    onGap (gap) { addItems([() => createGapNotice(gap)]) },
    onEnd (payload) { addItems([() => createEndNotice(payload)]) },
    onStateChange: showState
  })
  show(receivedCount, formatNumber(received))
  showState(client.state)
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

/** @param {import('./chat-client.js').ChatState} to @param {import('./chat-client.js').ChatFailure} [failure] */
function showState (to, failure) {
  const isOver = to === 'ended' || to === 'failed'
  state.dataset['state'] = to
  if (to !== 'open') viewers.hidden = true
  say(stateText, to)
  composer.hidden = isOver
  closedBar.hidden = !isOver
  if (failure) say(closedText, 'roomRefused', { message: failure.message })
  else say(closedText, 'roomEnded')
  endRoom.disabled = isOver
}

setInterval(() => {
  const now = performance.now()
  const rate = (received - ratedReceived) * 1_000 / (now - ratedAt)
  ratedAt = now
  ratedReceived = received
  show(receivedRate, formatNumber(Math.round(rate)))
  list.ariaLive = rate > ANNOUNCED_MESSAGES_PER_SECOND ? 'off' : 'polite'
}, RATE_INTERVAL_MS)

// Sending

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
      say(sendError, '')
      return true
    }
  } catch {
    // No answer, or a key that fits into no header: said below like any other failure.
  }
  say(sendError, EXPLAINED_STATUSES.includes(status) ? `error${status}` : 'errorOther')
  if (status === 401) byId('key-details', HTMLDetailsElement).open = true
  return false
}

async function send () {
  const message = messageField.value.trim()
  if (message === '' || composer.hidden) return
  messageField.value = ''
  messageField.focus()
  followNewest()
  const sentTo = room
  const taken = await post('/messages', {
    id: myId, nickname: nickname(), profileImgUrl: '', message, createdAt: new Date().toISOString()
  })
  // What could not be sent goes back, above what has been typed since.
  if (!taken && sentTo === room) messageField.value = [message, messageField.value].filter(Boolean).join('\n')
}

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

// Nickname and language

/** A name nobody typed is drawn from the id, so that two tabs do not look alike. */
function defaultNickname () {
  return text('guest', { n: Number.parseInt(myId.slice(0, 4), 16) % 900 + 100 })
}

function nickname () { return nicknameField.value.trim() || defaultNickname() }

function showNickname () {
  nicknameField.placeholder = defaultNickname()
  messageField.placeholder = text('placeholder', { name: nickname() })
}

nicknameField.value = stored('localStorage', 'chat.nickname') ?? ''
nicknameField.addEventListener('input', () => {
  store('localStorage', 'chat.nickname', nicknameField.value.trim())
  showNickname()
})
languageField.value = language
languageField.addEventListener('change', () => {
  setLanguage(languageField.value)
  showNickname()
})

// Changing and ending the room

byId('room-form', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault()
  const id = UUID.exec(roomField.value)?.[0].toLowerCase()
  if (id === undefined) say(roomError, 'roomInvalid')
  else moveTo(id)
})
for (const id of ['new-room', 'closed-new-room']) {
  byId(id, HTMLButtonElement).addEventListener('click', () => moveTo(randomUuid()))
}
addEventListener('popstate', joinFromUrl)
// A page that comes back from the browser's back/forward cache may have lost its stream without being told.
addEventListener('pageshow', (event) => { if (event.persisted) joinFromUrl() })

endRoom.addEventListener('click', () => {
  closePanel()
  endDialog.showModal()
})
byId('end-cancel', HTMLButtonElement).addEventListener('click', () => endDialog.close())
byId('end-confirm', HTMLButtonElement).addEventListener('click', () => {
  endDialog.close()
  post('/end', { reason: text('endedBy', { name: nickname() }), endedAt: new Date().toISOString() })
})

translate()
showNickname()
joinFromUrl()
