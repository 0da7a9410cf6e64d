// @ts-check

// What the page asks of the browser, and what it does instead where the browser may say no: `crypto.randomUUID` and the
// clipboard are missing on plain HTTP, as on a server tried out in a local network, and storage may be blocked.

/**
 * The page's element of that id; a missing one is a mistake in index.html.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function byId (id, type) {
  const element = document.getElementById(id)
  if (!(element instanceof type)) throw new TypeError(`no ${type.name} with the id ${id}`)
  return element
}

/** @param {'localStorage' | 'sessionStorage'} storage @param {string} key */
export function stored (storage, key) {
  try {
    return globalThis[storage].getItem(key)
  } catch {
    return null // blocked: nothing is remembered, everything else works
  }
}

/** @param {'localStorage' | 'sessionStorage'} storage @param {string} key @param {string} value */
export function store (storage, key, value) {
  try {
    globalThis[storage].setItem(key, value)
  } catch {
    // As above.
  }
}

/** Version 4, RFC 9562. */
export function randomUuid () {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  const hex = Array.from(bytes, (byte, i) => {
    const value = i === 6 ? (byte & 0x0f) | 0x40 : i === 8 ? (byte & 0x3f) | 0x80 : byte
    return value.toString(16).padStart(2, '0')
  }).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

/** @param {string} value */
export async function copy (value) {
  try {
    await navigator.clipboard.writeText(value)
  } catch {
    // The old way needs a selection.
    const field = document.createElement('textarea')
    field.value = value
    document.body.append(field)
    field.select()
    document.execCommand('copy')
    field.remove()
  }
}
