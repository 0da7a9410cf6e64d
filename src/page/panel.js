// @ts-check

// The panel: a sheet from below on a phone. On a wide screen it is a column that is always there, and nothing here shows.

import { byId, copy } from './browser.js'
import { say } from './texts.js'

const COPIED_SHOWN_MS = 2_000

const chat = byId('chat', HTMLElement)
const panel = byId('panel', HTMLElement)
const menu = byId('menu', HTMLButtonElement)
const close = byId('panel-close', HTMLButtonElement)
const copyLink = byId('copy-link', HTMLButtonElement)
const copyLabel = byId('copy-link-label', HTMLElement)
const share = byId('share', HTMLButtonElement)

function openPanel () {
  panel.toggleAttribute('data-open', true)
  menu.ariaExpanded = 'true'
  chat.inert = true
  close.focus()
}

export function closePanel () {
  if (!chat.inert) return
  panel.toggleAttribute('data-open', false)
  menu.ariaExpanded = 'false'
  chat.inert = false
  menu.focus()
}

menu.addEventListener('click', openPanel)
close.addEventListener('click', closePanel)
byId('backdrop', HTMLElement).addEventListener('click', closePanel)
addEventListener('keydown', (event) => { if (event.key === 'Escape') closePanel() })
// On a screen grown wide, e.g. a tablet turned round, the sheet has become a column: the chat must not stay inert.
matchMedia('(min-width: 900px)').addEventListener('change', closePanel)

copyLink.addEventListener('click', async () => {
  await copy(location.href)
  say(copyLabel, 'copied')
  setTimeout(() => say(copyLabel, 'copyLink'), COPIED_SHOWN_MS)
})

share.hidden = !('share' in navigator)
share.addEventListener('click', () => {
  navigator.share({ title: document.title, url: location.href }).catch(() => {}) // the reader changed their mind
})
