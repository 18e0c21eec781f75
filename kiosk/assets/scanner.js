'use strict'
// What a wedge scanner types. Where a field has the focus its keys are told from those of fingers by coming within gap ms of each other; where none has it nobody types, and slower
// ones count too. Until a code shows its keys go where they would have gone, and once it does that is taken back. take is called with each code that came whole, without prefix and
// suffix. One that was cut is thrown away whole, with all that follows it until nothing does: its tail could be another unit's. So is what comes as soon as the page is there, which may
// have begun on the one before. fault is called with what came of it, and why, a key of the catalogue with its facts. It returns what tells whether keys are coming.
function listen({ prefix, suffix, gap }, take, fault) {
  const idle = 250 // ms, gap where no field has the focus
  const quiet = 300 // ms without a key after which what comes does not belong to what came before
  const sure = 4 // keys so close in a field that they are a scanner's, and kept from it
  const modifier = /^(Alt|AltGraph|CapsLock|Control|Fn|FnLock|Meta|NumLock|Shift)$/
  // keys since it was quiet: how many, their characters, how many of these came close to each other at last, and whether something stands before those
  const none = { keys: 0, chars: '', near: 0, apart: false, last: -1e9, field: null, kept: null, sure: false, cut: '', told: false }
  const began = performance.now()
  let run = { ...none }
  let ends = 0 // timer
  let heard = -1e9 // when the page heard of the last key

  const editable = e => e?.matches?.('select, :read-write') ?? false

  // charOf is the character of a key, also where an input method is about to take it; '' for one that types none.
  function charOf(e) {
    if (e.repeat || (e.ctrlKey || e.metaKey || e.altKey) && !e.getModifierState('AltGraph')) return ''
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

  // restore puts a field back as it was before a scanner typed into it.
  function restore({ field, kept }) {
    if (!field || !kept || field.value === kept.value) return
    field.value = kept.value
    try { if (kept.selection) field.setSelectionRange(...kept.selection) } catch { }
    field.dispatchEvent(new Event('input', { bubbles: true }))
  }

  const stop = e => { e.preventDefault(); e.stopImmediatePropagation() }

  // cut has what came thrown away, and all that comes until it is quiet.
  function cut(why) {
    restore(run)
    run.cut = why
  }

  // tell says once that a code was thrown away. A single key is none.
  function tell() {
    if (!run.cut || run.told || run.keys < 2) return
    run.told = true
    fault(run.chars, run.cut, { key: suffix, prefix })
  }

  // over is called when nothing came for a while: a code without its suffix was cut.
  function over() {
    if (!run.cut && run.sure && run.keys > 1) cut('scan.cut')
    tell()
  }

  function whole(e) {
    stop(e)
    clearTimeout(ends)
    restore(run)
    const { chars } = run
    run = { ...none }
    take(chars.slice(prefix.length).trim())
  }

  // typed takes a key that fingers seem to have typed into a field, and tells whether that turns out to be a scanner's. close is to the key before.
  function typed(e, c, close) {
    if (e.key === suffix && close && run.apart && run.near === run.keys - 1) { // the end of a code, of which the page has not seen the beginning
      cut('scan.broken')
      return true
    }
    if (e.key === suffix) {
      clearTimeout(ends)
      run = { ...none }
      return false
    }
    if (!close || !c) {
      run.apart = true
      run.near = 0
    }
    if (!run.near && run.chars.length >= sure) run.kept = keep(run.field) // fingers did type that
    run.chars += c
    run.near += c.length
    if (run.near < sure) return false
    run.sure = true
    if (run.apart) cut('scan.broken')
    return true
  }

  function key(e) {
    if (modifier.test(e.key)) return
    const passed = e.timeStamp - run.last
    if (passed > quiet + (run.cut ? 0 : run.field ? gap : idle)) {
      over()
      run = { ...none }
    }
    const c = charOf(e), first = !run.keys, close = !first && passed <= (run.field ? gap : idle)
    if (first) {
      const focus = document.activeElement, field = editable(focus) ? focus : null
      const garbled = !c && (e.key === 'Dead' || e.key === 'Process' || e.key === 'Unidentified') // may be the first of a code
      if (!c && !garbled || c === ' ' && !field && prefix[0] !== ' ') return // a space may press a button
      run = { ...none, field, kept: keep(field), sure: !field, apart: garbled || e.timeStamp - began < quiet }
    }
    clearTimeout(ends)
    ends = setTimeout(over, 1000) // not sooner: the keys' own times tell, and a busy page hears of them late
    run.last = e.timeStamp
    heard = performance.now()
    run.keys++

    if (!run.cut) {
      if (e.key === suffix && close && !run.apart && run.chars.length > 1) {
        if (run.chars.startsWith(prefix)) return whole(e)
        cut('scan.prefix')
      } else if (run.sure && !first && (!close || !c || run.apart)) {
        cut('scan.broken')
        run.chars += c
      } else if (run.sure) {
        run.chars += c
        if (!first) stop(e)
        return
      } else if (!typed(e, c, first || close)) {
        return
      }
    } else {
      run.chars += c
    }
    stop(e)
    if (run.cut && e.key === suffix) tell()
  }

  document.addEventListener('keydown', key, true)
  document.addEventListener('keyup', e => { if (run.keys > 1 && !editable(e.target)) stop(e) }, true)
  return () => run.keys > 0 && performance.now() - heard < quiet
}
