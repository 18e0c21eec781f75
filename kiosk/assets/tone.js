'use strict'
// What a page sounds like: a motif for each outcome and answer, each a list of pairs of frequency in Hz and length in ms, 0 Hz for silence. Browsers let a page sound once somebody pressed a key or
// a button of it; what a scanner types counts.
const tone = (() => {
  const motifs = {
    accept: { wave: 'sine', notes: [[1047, 70], [1568, 110]] },
    reject: { wave: 'square', notes: [[220, 140], [0, 50], [220, 140]] },
    pass: { wave: 'triangle', notes: [[659, 110], [831, 110], [988, 110], [1319, 320]] },
    fail: { wave: 'sawtooth', notes: [[494, 220], [370, 220], [247, 480]] },
    attention: { wave: 'triangle', notes: [[880, 90], [0, 70], [880, 90], [0, 70], [880, 90], [0, 240], [880, 90], [0, 70], [880, 90], [0, 70], [880, 90]] },
    error: { wave: 'square', notes: [[392, 160], [0, 60], [392, 160], [0, 60], [294, 340]] },
    refused: { wave: 'triangle', notes: [[330, 260], [262, 380]] },
    aborted: { wave: 'sine', notes: [[523, 120], [392, 120], [294, 120], [220, 260]] },
    interrupted: { wave: 'triangle', notes: [[587, 180], [740, 180], [587, 180], [740, 180], [587, 300]] },
    trial: { wave: 'sine', notes: [[659, 140], [0, 60], [659, 260]] },
  }
  let audio = null
  let free = 0 // time of the audio clock from which on nothing sounds
  const heard = [] // of this page, the last hundred

  function wake() {
    audio ??= new AudioContext()
    if (audio.state === 'suspended') audio.resume()
  }

  function play(name) {
    const motif = motifs[name]
    if (!motif) return
    heard.push(name)
    if (heard.length > 100) heard.shift()
    if (!audio || audio.state !== 'running') return
    const most = 3 // seconds that a tone may come late; then it says nothing any more
    if (free > audio.currentTime + most && ['accept', 'reject', 'pass', 'trial'].includes(name)) return
    let when = Math.max(audio.currentTime + 0.01, free)
    for (const [hertz, ms] of motif.notes) {
      const end = when + ms / 1000
      if (hertz) {
        const voice = audio.createOscillator(), loud = audio.createGain()
        voice.type = motif.wave
        voice.frequency.value = hertz
        const level = motif.wave === 'sine' || motif.wave === 'triangle' ? 0.5 : 0.16
        loud.gain.setValueAtTime(0, when)
        loud.gain.linearRampToValueAtTime(level, when + 0.008)
        loud.gain.setValueAtTime(level, end - 0.02)
        loud.gain.linearRampToValueAtTime(0, end)
        voice.connect(loud).connect(audio.destination)
        voice.start(when)
        voice.stop(end)
      }
      when = end
    }
    free = when + 0.12
  }

  // test plays all of them after each other.
  function test() {
    wake()
    for (const name of Object.keys(motifs)) { free += 0.25; play(name) }
  }

  document.addEventListener('keydown', wake, true)
  document.addEventListener('pointerdown', wake, true)
  return { play, test, heard }
})()
