'use strict'
// What a page does by itself: it takes what a scanner types, whatever has the focus (scanner.js); it sounds (tone.js); it sends what people ask for; and it says when it has lost
// the station. What the station shows comes ready made over the stream that htmx holds (hx-sse).
const station = (() => {
  const root = document.documentElement
  const at = id => document.getElementById(id)
  const now = () => performance.now()
  const { play, heard } = tone

  // ---- sentences: the catalogue of the page's language, as Go reads it (text.go)

  let text = {}
  let fetched = null
  // catalogue waits until the sentences are here, or could not be fetched: then whoever needs one next has them fetched again.
  const catalogue = () => fetched ??= fetch(root.dataset.text, { signal: AbortSignal.timeout(5000) }).then(r => r.ok ? r.json() : Promise.reject()).then(t => { text = t }).catch(() => { fetched = null })
  catalogue()

  function fill(sentence, facts) {
    const there = sentence.replace(/\[([^\]]*)\]/g, (_, part) => [...part.matchAll(/\{([a-z_]+)\}/g)].every(m => facts && m[1] in facts) ? part : '')
    return there.replace(/\{([a-z_]+)\}/g, (whole, name) => facts && name in facts ? facts[name] : whole)
  }
  const say = (key, facts) => fill(text[key] ?? key, facts)
  const said = s => s.facts?.count === '1' && text[`said.${s.word}.one`] ? fill(text[`said.${s.word}.one`], s.facts) : s.word && text['said.' + s.word] !== undefined ? fill(text['said.' + s.word], s.facts) : s.text ?? ''
  const next = s => s.word && text['do.' + s.word] !== undefined ? fill(text['do.' + s.word], s.facts) : s.next ?? ''

  // ---- the foot of the page: what was scanned last, and what became of it

  let told = null

  // sentences are what is said and what is to be done, one after the other.
  const stop = root.lang === 'zh-CN' ? '。' : '. '
  const sentences = (what, todo) => [what, todo].filter(Boolean).join(stop).replace(/([.。!?！？])(\. |。)/g, (_, end) => end === '。' ? end : end + ' ')

  // echo says it in the foot; a page to sign in with has none, and says why not where it says that of a PIN.
  function echo(code, tone, what, todo) {
    told = [code, tone, what, todo]
    const foot = at('echo')
    if (!foot) {
      const problem = document.querySelector('[data-problem]')
      if (problem) problem.textContent = tone === 'reject' ? sentences(what, todo) : ''
      return
    }
    foot.dataset.tone = tone
    if (code !== null) at('echo-code').textContent = code
    at('echo-said').textContent = what
    at('echo-next').textContent = todo ?? ''
  }

  // ---- requests

  const token = document.querySelector('meta[name="station-token"]').content

  // ask sends a document and returns { status, answer }; it throws where nobody answered.
  async function ask(method, path, body, limit = 30000) {
    const r = await fetch(path, {
      method, credentials: 'same-origin', cache: 'no-store', redirect: 'error', signal: AbortSignal.timeout(limit),
      headers: { 'Content-Type': 'application/json', 'X-Station-Token': token }, body: body === undefined ? undefined : JSON.stringify(body),
    })
    const type = r.headers.get('Content-Type') ?? ''
    return { status: r.status, wait: Number(r.headers.get('Retry-After') ?? 1), answer: type.includes('json') ? await r.json().catch(() => null) : null }
  }

  const saidOf = answer => answer?.said ?? answer ?? {}

  // unknown is what the foot says of all scans that have no answer.
  const unknown = () => [scans.map(s => s.shown).join(', '), 'reject', say('scan.unknown'), say('scan.unknown.do')]

  // again loads the page anew. A code that is coming comes to its end before, and a scan has a second for its answer: it gets none on the new page, so that is said, and heard.
  let leaving = false
  async function again() {
    if (leaving) return
    leaving = true
    for (let left = 20; (typing() || scans.length) && left > 0; left--) await pause(50)
    if (scans.length) {
      echo(...unknown())
      play('reject')
      await pause(600)
    }
    location.reload()
  }

  // What the foot says goes with a page that is loaded anew, and what became of a scan with every page.
  addEventListener('pagehide', () => {
    if (scans.length) told = unknown()
    if (told && (leaving || scans.length)) sessionStorage.setItem('echo', JSON.stringify(told))
  })

  // stale loads a page anew whose token is none any more; on the new one that is past.
  function stale(code, wait) {
    told = [code, 'reject', say('act.stale'), say('act.stale.do')]
    setTimeout(again, wait)
  }

  // ---- scans: sent in the order in which they came, one at a time. One that could not be sent for 10 s is refused, and never sent later: it would act behind the operator's back.

  const patience = 10000
  const scans = []
  let sending = false
  const badge = root.dataset.badge ? new RegExp(root.dataset.badge) : null
  // A badge that was not read whole is nobody's to see: the server refuses it (codes.go), and by the same rule no page shows it. A job's card may have a long name.
  const likeBadge = code => !code.startsWith('JOB:') && /badge:|(?=[a-z2-7]{20})[a-z2-7]*[g-z]/i.test(code)
  const shown = code => badge?.test(code) || likeBadge(code) ? '••••••' : code // also one that was cut
  const pause = ms => new Promise(done => setTimeout(done, ms))

  function take(code) {
    const isBadge = badge?.test(code) || document.body.classList.contains('page-signin')
    const into = document.querySelector('input[data-scan]')
    if (into && !isBadge && !likeBadge(code) && !new RegExp(into.dataset.cards).test(code)) {
      into.value = into.defaultValue = code // nobody typed it
      into.form?.requestSubmit()
      return
    }
    if (!isBadge && !at('echo')) return
    scans.push({ id: crypto.getRandomValues(new Uint32Array(4)).join('-'), code, isBadge, get shown() { return isBadge ? say('scan.badge') : shown(code) }, at: now() })
    if (scans.length > 1) echo(scans.at(-1).shown, 'wait', say('scan.waits', { n: scans.length - 1 }))
    send()
  }

  async function send() {
    if (sending) return
    sending = true
    for (; scans.length; scans.shift()) {
      await catalogue()
      await sendOne(scans[0])
    }
    sending = false
  }

  async function sendOne(scan) {
    for (let first = true; ; first = false) {
      const left = patience - (now() - scan.at)
      if (left <= 0) return refuse(scan, first ? 'scan.lost' : 'scan.unknown')
      if (first) echo(scan.shown, 'wait', say('scan.sent'))
      try {
        const { status, answer, wait } = scan.isBadge ? await ask('POST', '/api/v1/session', { badge: scan.code }, left) : await ask('POST', '/api/v1/scan', { code: scan.code, id: scan.id }, left)
        if (status === 429) { await pause(Math.min(wait * 1000, left)); continue }
        return answered(scan, status, answer)
      } catch (e) {
        if (e.name === 'TimeoutError') return refuse(scan, 'scan.unknown')
        lose()
        echo(scan.shown, 'wait', say('scan.held'))
        await pause(400) // and again, whatever the stream does: the station knows a scan by its id
      }
    }
  }

  function refuse(scan, key) {
    echo(scan.shown, 'reject', say(key), say(key + '.do'))
    play('reject')
  }

  function answered(scan, status, answer) {
    const s = saidOf(answer)
    const ok = status < 300
    const sound = ok ? answer?.tone ?? 'accept' : 'reject'
    if (ok && scan.isBadge) {
      play('accept')
      location.assign('/')
      return
    }
    echo(scan.shown, sound || 'accept', said(s), next(s))
    play(sound)
    if (s.word === 'token') stale(scan.shown, 500)
    else if (status === 401 && !scan.isBadge || answer?.reload) setTimeout(again, 500)
  }

  const typing = listen({ prefix: root.dataset.prefix, suffix: root.dataset.suffix, gap: Number(root.dataset.gap) }, take, async (code, key, facts) => {
    play('reject')
    await catalogue()
    echo(key === 'scan.broken' ? '••••••' : shown(code), 'reject', say(key, facts), say(key + '.do')) // a piece may be one of a badge
  })

  // ---- buttons and forms: data-api="METHOD PATH" is what they send, with the fields by their names; data-then where to go then: a path, "reload", or "close" for the dialog they are in

  function fields(form) {
    const body = {}
    for (const e of form.elements) {
      if (!e.name || e.disabled || (e.type === 'radio' && !e.checked)) continue
      if (e.type === 'checkbox') body[e.name] = e.checked && e.checkVisibility() // nobody means what they do not see
      else if (e.type === 'number') body[e.name] = e.value === '' ? 0 : Number(e.value)
      else body[e.name] = e.type === 'password' || e.tagName === 'TEXTAREA' ? e.value : e.value.trim()
    }
    return body
  }

  function certain(question) {
    const dialog = at('ask')
    at('ask-text').textContent = question
    dialog.showModal()
    return new Promise(done => {
      dialog.addEventListener('close', () => done(dialog.returnValue === 'yes'), { once: true })
      dialog.returnValue = 'no'
    })
  }

  async function act(e) {
    if (e.getAttribute('aria-busy') === 'true') return
    if (e.dataset.confirm && !await certain(e.dataset.confirm)) return
    const [method, path] = e.dataset.api.split(' ')
    const form = e.tagName === 'FORM' ? e : e.form ?? null
    const problem = (form ?? e.closest('.card, dialog, section') ?? document).querySelector?.('[data-problem]')
    if (problem) problem.textContent = ''
    e.setAttribute('aria-busy', 'true')
    await catalogue()
    try {
      const twice = form?.querySelector('[data-same]') // what nobody can read back is typed twice
      if (twice && twice.value !== form.elements[twice.dataset.same].value) {
        if (problem) problem.textContent = say('pin.differs')
        play('reject')
        return
      }
      const { status, answer } = await ask(method, path, form ? fields(form) : method === 'DELETE' ? undefined : {}, Number(e.dataset.limit) || undefined)
      const s = saidOf(answer)
      if (status < 300) {
        const sound = answer?.tone ?? 'accept'
        if (s.word || s.text) echo('', sound || 'accept', said(s), next(s))
        play(sound)
        const event = new CustomEvent('station:done', { bubbles: true, cancelable: true, detail: answer })
        if (e.dispatchEvent(event)) then(e)
        return
      }
      if (problem) problem.textContent = sentences(said(s), next(s))
      echo('', 'reject', said(s) || say('act.refused'), next(s))
      play('reject')
      if (s.word === 'token') stale('', 800)
      else if (status === 401 && path !== '/api/v1/session') setTimeout(again, 800)
    } catch {
      if (problem) problem.textContent = say('act.lost')
      echo('', 'reject', say('act.lost'), say('act.lost.do'))
      play('reject')
    } finally {
      e.removeAttribute('aria-busy')
    }
  }

  function then(e) {
    const where = e.dataset.then
    if (where === 'close') e.closest('dialog')?.close()
    else if (where === 'reload') again()
    else if (where) location.assign(where)
  }

  const cookie = (name, value) => { document.cookie = `${name}=${value}; path=/; max-age=${value ? 31536000 : 0}; samesite=strict` }

  document.addEventListener('click', e => {
    const on = what => e.target.closest?.(what)
    let b
    if (b = on('[data-ask]')) at('ask').close(b.dataset.ask)
    else if (b = on('[data-api]:not(form)')) act(b)
    else if (b = on('[data-close]')) b.closest('dialog')?.close()
    else if (b = on('[data-open]')) open(b.closest('.tile'))
    else if (b = on('[data-digit]')) digit(b)
    else if (b = on('[data-print]')) print()
    else if (b = on('[data-language]')) { cookie('station_language', b.dataset.language); told = null; again() }
    else if (b = on('[data-contrast-switch]')) {
      const high = root.dataset.contrast !== 'high'
      cookie('station_contrast', high ? 'high' : 'standard')
      root.dataset.contrast = high ? 'high' : 'standard'
      b.setAttribute('aria-pressed', high)
    } else if (on('[data-sound-test]')) tone.test()
    else if (e.target === at('detail')) at('detail').close()
  })

  document.addEventListener('submit', e => {
    e.preventDefault()
    const form = e.target
    if (form.id === 'hand') {
      const code = form.code.value.trim()
      form.reset()
      if (code) take(code)
    } else if (form.dataset.api) act(form)
    else if (form.dataset.go) location.assign(form.dataset.go + '?' + new URLSearchParams(new FormData(form)))
  })

  function digit(b) {
    const into = at(b.dataset.into)
    if (b.dataset.digit === '⌫') into.value = into.value.slice(0, -1)
    else if (into.value.length < into.maxLength) into.value += b.dataset.digit
  }

  // ---- the details of a tile, over the wall; they follow what changes in it

  let opened = ''

  function open(tile) {
    opened = tile.id
    at('detail').innerHTML = tile.querySelector('.more').innerHTML
    at('detail').showModal()
  }

  // due marks the tile where what is to be done now is to be done.
  function due() {
    const slot = at('next')?.dataset.due
    for (const tile of line.querySelectorAll('.tile')) tile.classList.toggle('is-due', !!slot && tile.dataset.slot === slot)
  }

  function follow() {
    const dialog = at('detail'), more = at(opened)?.querySelector('.more')
    if (!dialog?.open || !more) return
    if (more.innerHTML !== dialog.innerHTML) dialog.innerHTML = more.innerHTML
  }

  // ---- the stream, and its loss

  const line = at('line')
  const silence = 15000 // ms without a heartbeat, of which there is one every 10 s
  let last = now()
  let lost = false
  let connection = null
  let clocks = new WeakMap()

  function lose() {
    if (lost) return
    lost = true
    root.classList.add('is-lost')
    at('lost').hidden = false
    at('link').className = 'link down'
    at('link').textContent = at('link').dataset.down
    play('attention')
    if (line) find()
  }

  function found() {
    last = now()
    at('link').className = 'link up'
    at('link').textContent = at('link').dataset.up
    if (!lost) return
    lost = false
    root.classList.remove('is-lost')
    at('lost').hidden = true
  }

  // find looks for a station that is there while the stream is not, and loads the page anew.
  async function find() {
    while (lost) {
      await pause(3000)
      if (!lost || connection) continue
      try {
        const { status } = await ask('GET', '/healthz', undefined, 2000)
        if (status < 600) again()
      } catch { }
    }
  }

  if (line) {
    line.addEventListener('htmx:sse:before:connection', e => { if (e.detail.connection.attempt > 0) lose() })
    line.addEventListener('htmx:sse:after:connection', e => { connection = e.detail.connection })
    line.addEventListener('htmx:sse:before:message', found)
    line.addEventListener('htmx:sse:after:message', () => { due(); follow() })
    line.addEventListener('htmx:sse:close', () => { connection = null; lose() })
    line.addEventListener('htmx:sse:error', e => { lose(); if (e.detail.status === 401 || e.detail.status === 403) again() })
    for (const broken of ['htmx:error', 'htmx:response:error']) line.addEventListener(broken, lose)
    line.addEventListener('tone', e => play(e.detail.data))
    line.addEventListener('heartbeat', e => {
      const started = Date.parse(JSON.parse(e.detail.data || '{}').started ?? '')
      if (started && started !== Number(root.dataset.started)) again() // another start: what the page is made of may be another too
    })
    addEventListener('offline', lose)
    due()
    setInterval(() => {
      if (now() - last > silence) {
        lose()
        connection?.reader?.cancel()
        last = now()
      }
      if (!lost) tick()
    }, 1000)
  }

  document.querySelector('input[data-scan]')?.select()

  // A page without the stream asks whether the station is there, and what it shows of somebody who is not signed in any more it shows no longer.
  async function beat() {
    try {
      await ask('GET', '/healthz', undefined, 4000)
      found()
    } catch {
      lose()
    }
  }

  if (!line && at('echo')) {
    catalogue().then(beat)
    setInterval(beat, 5000)
    document.addEventListener('htmx:response:error', e => { if (e.detail.ctx.response.raw.status === 401) again() })
  }

  // A page that is not the wall goes back to it when nobody did anything on it for a while: whoever left it would keep the line from seeing its results. Scans do not count, and
  // what somebody typed or was asked is not taken away.
  const left = 120000 // ms
  let touched = now()
  const kept = () => document.querySelector('dialog[open], [aria-busy="true"]') || [...document.querySelectorAll('input, textarea')].some(e => e.value !== e.defaultValue)

  if (!line && at('echo') && location.pathname !== '/') {
    for (const kind of ['pointerdown', 'wheel', 'scroll', 'focusin', 'input']) addEventListener(kind, () => { touched = now() }, { capture: true, passive: true })
    setInterval(async () => {
      if (lost || now() - touched < left) return
      if (kept()) { touched = now(); return }
      await beat() // a browser that finds nobody would stay with its own page
      if (!lost && now() - touched >= left && !kept()) location.assign('/')
    }, 1000)
  }

  // tick lets times go on between two tellings.
  function tick() {
    for (const [name, sign] of [['elapsed', 1], ['remaining', -1]]) {
      for (const e of line.querySelectorAll(`.face [data-${name}]`)) {
        const told = e.dataset[name]
        let clock = clocks.get(e)
        if (clock?.told !== told) clocks.set(e, clock = { told, at: now() })
        const s = Math.max(0, Math.round((Number(told) + sign * (now() - clock.at)) / 1000))
        const two = n => String(n).padStart(2, '0')
        e.textContent = s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`
      }
    }
  }

  // ---- a badge that was just made: shown once, to be printed

  const card = at('badge-card')
  card?.addEventListener('close', again)
  document.addEventListener('station:done', e => {
    if (!card || !e.detail?.bars) return
    e.preventDefault()
    const form = e.target
    card.querySelector('[data-badge-name]').textContent = form.dataset.name ?? form.elements.name.value
    card.querySelector('[data-badge-bars]').innerHTML = e.detail.bars
    card.querySelector('[data-badge-code]').textContent = e.detail.code
    card.showModal()
  })

  const before = sessionStorage.getItem('echo')
  if (before) {
    sessionStorage.removeItem('echo')
    echo(...JSON.parse(before))
  }

  return { take, play, lose, echo, heard, waiting: scans }
})()
