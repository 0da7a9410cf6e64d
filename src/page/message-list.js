// @ts-check

// The list, built for floods: whatever arrives between two frames is drawn at once, and no more of it than the list can
// hold. It follows the newest item until the reader scrolls up; then what is being read never moves.

import { byId } from './browser.js'
import { say } from './texts.js'

/** Makes the element of an item, when and if it is drawn. @typedef {() => HTMLElement} Item */

/** Items kept while the newest is followed. */
const FOLLOW_LIMIT = 200
/** Most items the list ever holds: what a reader who scrolled up gets as read-ahead below. Nothing above is removed then. */
const LIST_LIMIT = 300
/**
 * Most items drawn in one frame, and the fewest it goes down to where frames take longer than SLOW_FRAME_MS: a slow
 * phone in a flood shows fewer of the messages, and stays usable.
 */
const FRAME_ITEMS_MAX = 32
const FRAME_ITEMS_MIN = 4
const SLOW_FRAME_MS = 50
/** How near to the bottom counts as the bottom, when scrolling down. */
const BOTTOM_PX = 24

const list = byId('list', HTMLElement)
const newMessages = byId('new-messages', HTMLButtonElement)

/** Arrived and not yet drawn; at most twice FOLLOW_LIMIT. @type {Item[]} */ let queue = []
let frame = 0
let frameItems = FRAME_ITEMS_MAX
/** When a frame was drawn that left some for the next one; else 0. */ let busySince = 0
/** Whether the newest item is kept in view. */ let following = true
let lastScrollTop = 0
/** What came since the reader scrolled up. */ let unseen = 0

/** @param {Item[]} items in the order they came */
export function addItems (items) {
  if (!following) unseen += items.length
  for (const item of items.slice(-FOLLOW_LIMIT)) queue.push(item)
  // Frames stop while the tab is hidden, and a full list takes nothing while its reader is scrolled up. What is cut here
  // would have left the list again before anyone read it. Cut rarely, so that the cutting costs nothing.
  if (queue.length > 2 * FOLLOW_LIMIT) queue = queue.slice(-FOLLOW_LIMIT)
  draw()
}

export function clearItems () {
  queue = []
  list.replaceChildren()
  followNewest()
}

export function followNewest () { setFollowing(true) }

/** @param {boolean} to */
function setFollowing (to) {
  if (to === following) return
  following = to
  unseen = 0
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
  if (following) trim(list.childElementCount + items.length - FOLLOW_LIMIT)
  list.append(...items.map((create) => create()))
  busySince = queue.length > 0 && items.length < room ? now : 0
  if (busySince > 0) draw()
  if (following) scrollToNewest()
  newMessages.hidden = unseen === 0
  if (unseen > 0) say(newMessages, 'newBelow', { n: unseen })
}

/** @param {number} count how many of the oldest items to remove */
function trim (count) {
  for (let i = 0; i < count; i++) list.firstElementChild?.remove()
}

function scrollToNewest () {
  list.scrollTop = list.scrollHeight
  lastScrollTop = list.scrollTop
}

list.addEventListener('scroll', () => {
  const top = list.scrollTop
  const toBottom = list.scrollHeight - list.clientHeight - top
  // The direction tells, not the distance: a smooth scroll upwards begins with a pixel or two, and while messages pour
  // in it must not be pulled back. Downwards a near miss counts as the bottom.
  if (toBottom <= (top > lastScrollTop ? BOTTOM_PX : 1)) setFollowing(true)
  else if (top < lastScrollTop) setFollowing(false)
  lastScrollTop = top
}, { passive: true })

new ResizeObserver(() => { if (following) scrollToNewest() }).observe(list)

newMessages.addEventListener('click', () => {
  followNewest()
  list.focus({ preventScroll: true })
})
// The button floats over the list without being part of it: turning the wheel there scrolls what is below.
newMessages.addEventListener('wheel', (event) => list.scrollBy({ top: event.deltaY }), { passive: true })
