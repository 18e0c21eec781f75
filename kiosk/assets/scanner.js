'use strict'
// What a wedge scanner types: its keys come closer together than fingers can, and end with a suffix. Until that shows they go where they would have gone, and once it does
// that is taken back. take is called with each code, without prefix and suffix; fault with what came, a key of the catalogue, and its facts, where it is none.
function listen(prefix, suffix, take, fault) {
  const quick = 35 // ms between two keys of a scanner at most
  const sure = 4 // keys so close that they are kept from the field
  const none = { chars: '', last: -1e9, field: null, kept: null, swallowed: '' }
  let burst = { ...none }
  let ends = 0 // timer

  const editable = e => e && (e.matches?.('input, textarea, select') || e.isContentEditable)

  // charOf is the character of a key, also where an input method is about to take it.
  function charOf(e) {
    if (e.key.length === 1) return e.key
    if (e.key !== 'Process' && e.keyCode !== 229) return ''
    const plain = /^(?:Key([A-Z])|(?:Digit|Numpad)([0-9]))$/.exec(e.code ?? '')
    if (plain) return plain[2] ?? (e.shiftKey ? plain[1] : plain[1].toLowerCase())
    return { Minus: e.shiftKey ? '_' : '-', Semicolon: e.shiftKey ? ':' : ';', Period: '.', Slash: '/', Space: ' ', Equal: e.shiftKey ? '+' : '=' }[e.code] ?? ''
  }

  function keep(field) {
    if (!editable(field)) return null
    let selection = null
    try { selection = [field.selectionStart, field.selectionEnd] } catch { } // not every kind has one
    return { value: field.value, selection }
  }

  // restore puts a field back as it was before a burst.
  function restore({ field, kept }) {
    if (!field || !kept || field.value === kept.value) return
    field.value = kept.value
    try { if (kept.selection) field.setSelectionRange(...kept.selection) } catch { }
    field.dispatchEvent(new Event('input', { bubbles: true }))
  }

  // ended is called when a burst goes on no more without its suffix: what was kept from a field is given to it.
  function ended() {
    const { field, swallowed, chars } = burst
    burst = { ...none }
    if (!swallowed) return
    if (field && editable(field) && field.isConnected && 'setRangeText' in field) {
      field.setRangeText(swallowed, field.selectionStart ?? field.value.length, field.selectionEnd ?? field.value.length, 'end')
      field.dispatchEvent(new Event('input', { bubbles: true }))
    } else if (chars.length > 5) {
      fault(chars, 'scan.cut', { key: suffix })
    }
  }

  const stop = e => { e.preventDefault(); e.stopImmediatePropagation() }

  function key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey || e.key === 'Shift' || e.key === 'CapsLock') return
    const close = e.timeStamp - burst.last <= quick && !e.repeat
    if (e.key === suffix) {
      clearTimeout(ends)
      const b = burst
      burst = { ...none }
      if (!close || b.chars.length < 2) { burst = b; ended(); return }
      stop(e)
      restore(b)
      if (prefix && !b.chars.startsWith(prefix)) {
        fault(b.chars, 'scan.prefix', { prefix })
        return
      }
      take(b.chars.slice(prefix.length).trim())
      return
    }
    const c = e.repeat ? '' : charOf(e)
    if (!c) { clearTimeout(ends); ended(); return }
    if (!close) {
      clearTimeout(ends)
      ended()
      burst = { chars: '', last: 0, field: document.activeElement, kept: keep(document.activeElement), swallowed: '' }
    }
    burst.chars += c
    burst.last = e.timeStamp
    if (burst.chars.length >= sure) {
      stop(e)
      burst.swallowed += c
    } else if (c === ' ' && close && !editable(e.target)) {
      stop(e) // it would press a button
    }
    clearTimeout(ends)
    ends = setTimeout(ended, 1000) // not sooner: the keys' own times tell a burst, and a busy page hears of them late
  }

  document.addEventListener('keydown', key, true)
  document.addEventListener('keyup', e => { if (burst.chars.length > 1 && !editable(e.target)) stop(e) }, true)
}
