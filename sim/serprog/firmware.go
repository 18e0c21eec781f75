package serprog

import "io"

// Firmware is what one kind of it has that another one has not: the server's own, or Pico.
type Firmware struct {
	name     string
	commands []byte

	maxOut   int  // bytes out of one SPI operation
	overruns bool // it does not look whether there are more, and answers nothing any more when there were; else NAK
	chunk    int  // bytes in that are clocked before the first of them is sent
	inSize   int  // what of a client is taken at once
	outSize  int  // answers kept back
	prompt   bool // none is kept back once it is whole; else while there are commands

	highest int // Hz
	start   int // Hz, until a client asks; 0 is the highest
	base    int // Hz: every clock is this divided by an even number, and the next at or below what is asked for; 0: every one can be had
}

// own is the firmware of a server of its own: it takes what a client would like, and answers as a network likes it.
var own = Firmware{
	name: "station sim",
	commands: []byte{opNop, opInterface, opCommands, opName, opBuffer, opBusTypes, opMaxWrite,
		opSync, opMaxRead, opSetBus, opSPI, opFrequency, opPins},
	maxOut: maxWrite + slack, chunk: 64 << 10, inSize: 256 << 10, outSize: 64 << 10, highest: 54_000_000,
}

// Pico is pico-serprog on a Raspberry Pi Pico, fact sheet 5.4. Where it is silent: the processor's bus has 125 MHz, which even numbers divide; what
// comes waits in the USB buffers until the firmware wants it; every answer is sent as soon as it is whole.
var Pico = &Firmware{
	name:     "pico-serprog",
	commands: []byte{opNop, opInterface, opCommands, opName, opBuffer, opBusTypes, opSync, opSetBus, opSPI, opFrequency, opPins},
	maxOut:   4096, overruns: true, chunk: 128, inSize: 64, outSize: 128, prompt: true, highest: 62_500_000, start: 1_000_000, base: 125_000_000,
}

// Port is the bytes to and from a client that is not on a network.
type Port interface {
	// Read waits for bytes, and Write until all of p has room, or the port's end.
	io.ReadWriter
	// Held is how many bytes Read would not wait for.
	Held() int
}
