package serprog

import "time"

// Pace is how long bytes take on the wire.
type Pace int

const (
	// None: no time at all.
	None Pace = iota
	// Real: eight clocks each, by time.Now.
	Real
)

// Options of New.
type Options struct {
	Pace Pace
	// Clock is the highest one, in Hz; 0 is the firmware's: 54 MHz, that of plain reads of the part, or 62.5 MHz for Pico.
	Clock int
	// Firmware is nil for the server's own.
	Firmware *Firmware
}

const (
	// ahead is how far the wire runs ahead of time before it waits.
	ahead = 20 * time.Microsecond
	// mostDebt is how much of a sleep that was too long is made good for: a process that was stopped does not race afterwards.
	mostDebt = 100 * time.Millisecond
	// glance is how often a session is asked whether it is over.
	glance = 100 * time.Millisecond
)

// wire is the clock line between a programmer and its chip, and the time of both.
//
// That time is the machine's, less a debt. A sleep ends late, often by a millisecond, which is more than a page takes on the wire; what it
// slept too long is the debt, and is taken from the sleeps after it, so that frames take on the average what their clocks take. A chip that is
// told this time sees no difference: between two frames it sees the time of the bytes clocked and the time that the client
// let pass, and no sleep's. With exact sleeps, as in a synctest bubble, there is no debt, and the time is the machine's.
type wire struct {
	pace    Pace
	highest int // Hz
	base    int // Hz; 0: every clock can be had

	hertz int
	end   time.Time // of what has been clocked
	debt  time.Duration
}

// ask sets the clock to hertz, or to the highest below it, and returns it. 0 stands for the highest.
func (w *wire) ask(hertz int) int {
	w.hertz = w.highest
	if hertz > 0 && hertz < w.highest {
		w.hertz = hertz
	}
	if w.base > 0 {
		halves := (w.base + 2*w.hertz - 1) / (2 * w.hertz)
		w.hertz = w.base / (2 * halves)
	}
	return w.hertz
}

// now is what time it is at the chip, and how long a byte takes there.
func (w *wire) now() (t time.Time, perByte time.Duration) {
	return w.time(), 8 * time.Second / time.Duration(w.hertz)
}

func (w *wire) time() time.Time {
	if now := time.Now().Add(-w.debt); now.After(w.end) {
		return now
	}
	return w.end
}

// piece is how many bytes are clocked at once, of at most n.
func (w *wire) piece(n int) int {
	if w.pace != Real {
		return n
	}
	return min(n, max(1, int(ahead*time.Duration(w.hertz)/(8*time.Second))))
}

// pass lets the time of n bytes pass, until it is over.
func (w *wire) pass(n int, over func() bool) {
	if w.pace != Real {
		return
	}
	w.end = w.time().Add(time.Duration(n) * 8 * time.Second / time.Duration(w.hertz))
	late := w.end.Sub(time.Now().Add(-w.debt))
	if late <= ahead {
		return
	}
	paid := min(late, w.debt)
	if w.debt -= paid; late == paid {
		return
	}
	for late -= paid; late > glance; late -= glance {
		time.Sleep(glance)
		if over() {
			return
		}
	}
	time.Sleep(late)
	w.debt = min(max(time.Since(w.end), 0), mostDebt)
}
