// Package serprog offers a simulated chip to flashrom, and to any other program that speaks the serprog
// protocol, version 1, over TCP: `flashrom -p serprog:ip=HOST:PORT`.
//
// What belongs here: the protocol, SPI only, as several kinds of firmware speak it (Firmware), and limits that keep a hostile or broken client
// from doing more than it could on a wire. What does not: the chip (sim/nor), the USB face of such firmware (sim/pico), and the choice of
// address and board (the front door).
//
// One client is served at a time; others wait in the listener's queue. The delay commands are never among those offered: the client waits by
// itself. There is no voltage and no reset line in the protocol, and the pin drivers (15) switch nothing. A client that asks for a clock
// (14) below 1 kHz is refused: 16 MiB would take days. The wire takes no time any more for a client who has hung up.
package serprog

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

// Chip is what is under the programmer's pins; *nor.Chip is one. Shift clocks len(out) bytes, or len(in) where
// out is nil.
type Chip interface {
	Select()
	Shift(out, in []byte)
	Deselect()
}

// timed is a chip that can be told when the next of these calls happens, and how long after it each byte of a Shift; *nor.Chip is one.
type timed interface {
	At(t time.Time, perByte time.Duration)
}

// Protocol bytes.
const (
	ack byte = 0x06
	nak byte = 0x15

	opNop       byte = 0x00
	opInterface byte = 0x01
	opCommands  byte = 0x02
	opName      byte = 0x03
	opBuffer    byte = 0x04
	opBusTypes  byte = 0x05
	opMaxWrite  byte = 0x08
	opSync      byte = 0x10
	opMaxRead   byte = 0x11
	opSetBus    byte = 0x12
	opSPI       byte = 0x13
	opFrequency byte = 0x14
	opPins      byte = 0x15

	busSPI byte = 1 << 3
)

const (
	maxWrite = 1 << 20  // data bytes of one SPI operation, as told to the client
	slack    = 16       // opcode, address and dummy bytes, which clients do not count
	lowest   = 1000     // Hz
	outPiece = 16 << 10 // of an answer, that a client on TCP takes within patience
)

const patience = 10 * time.Second // for the rest of a command, and for an answer to be taken, on TCP

// Counts is what clients have asked for so far.
type Counts struct {
	Commands   uint64 // serprog commands
	SPI        uint64 // SPI operations: assertions of chip select
	RoundTrips uint64 // answers that the client waited for: it had sent nothing behind the command when its answer was ready, and sent more afterwards
}

// Sub is what was counted since before.
func (c Counts) Sub(before Counts) Counts {
	return Counts{c.Commands - before.Commands, c.SPI - before.SPI, c.RoundTrips - before.RoundTrips}
}

// Server is one programmer with one chip.
type Server struct {
	firmware                  *Firmware
	chip                      Chip
	timed                     timed // chip, where it is one
	wire                      wire  // of the one session that there is
	commands, spi, roundTrips atomic.Uint64
}

// New is a programmer with chip under its pins.
func New(chip Chip, o Options) *Server {
	f := cmp.Or(o.Firmware, &own)
	s := &Server{firmware: f, chip: chip, wire: wire{pace: o.Pace, highest: cmp.Or(o.Clock, f.highest), base: f.base}}
	s.timed, _ = chip.(timed)
	return s
}

// Counts may be called at any time.
func (s *Server) Counts() Counts {
	return Counts{Commands: s.commands.Load(), SPI: s.spi.Load(), RoundTrips: s.roundTrips.Load()}
}

// Serve serves one client after the other until ctx ends, and then returns nil; ln is closed in any case. What a
// client does wrong ends its connection only. Another error is the listener's.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer ln.Close()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		s.session(ctx, newInput(conn, s.firmware.inSize), limited{conn})
		stop()
		conn.Close()
	}
}

// session is one client's connection. Commands wait for the client without a limit, all else has one.
type session struct {
	*Server
	ctx context.Context // at its end no time passes any more, so that the frame under way is over at once, and is the last one; see over
	in  *input
	out *bufio.Writer
	buf []byte // bytes out of an operation, then those in

	asked  bool      // the client has sent nothing behind a command whose answer was ready
	looked time.Time // on the wire, when the client was last seen
}

// limited is a connection that takes each piece of an answer within the limit.
type limited struct{ net.Conn }

func (l limited) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		l.SetWriteDeadline(time.Now().Add(patience))
		var m int
		m, err = l.Conn.Write(p[n:min(len(p), n+outPiece)])
		n += m
	}
	return n, err
}

// Talk serves one client until its end of p ends; ctx ends no wait for p.
func (s *Server) Talk(ctx context.Context, p Port) {
	s.session(ctx, &input{from: p, held: p.Held, buf: make([]byte, s.firmware.inSize)}, p)
}

func (s *Server) session(ctx context.Context, in *input, out io.Writer) {
	f := s.firmware
	s.wire.ask(f.start)
	c := &session{
		Server: s, ctx: ctx, buf: make([]byte, max(f.maxOut, f.chunk)),
		in: in, out: bufio.NewWriterSize(out, f.outSize),
	}
	for ctx.Err() == nil {
		if len(c.in.rest) == 0 {
			if c.out.Flush() != nil || c.in.wait(0) != nil {
				return
			}
		}
		if c.asked {
			c.asked = false
			s.roundTrips.Add(1)
		}
		var op [1]byte
		c.in.take(op[:])
		s.commands.Add(1)
		if c.command(op[0]) != nil {
			return
		}
	}
}

// reply is the end of an answer. Whether the client waits for it is seen before it can have it.
func (c *session) reply(p ...byte) error {
	c.asked = !c.in.peek()
	_, err := c.out.Write(p)
	if err == nil && c.firmware.prompt {
		err = c.out.Flush()
	}
	return err
}

// fill reads what belongs to a command that has begun. The client has its answers before more is awaited.
func (c *session) fill(p []byte) error {
	for n := c.in.take(p); n < len(p); n += c.in.take(p[n:]) {
		if err := c.out.Flush(); err != nil {
			return err
		}
		if err := c.in.wait(patience); err != nil {
			return err
		}
	}
	return nil
}

// parameters reads the n bytes, at most 8, that follow an opcode.
func (c *session) parameters(n int) ([8]byte, error) {
	var p [8]byte
	err := c.fill(p[:n])
	return p, err
}

func (c *session) command(op byte) error {
	if !slices.Contains(c.firmware.commands, op) {
		return c.reply(nak)
	}
	switch op {
	case opNop:
		return c.reply(ack)
	case opInterface:
		return c.reply(ack, 1, 0)
	case opCommands:
		var bitmap [32]byte
		for _, o := range c.firmware.commands {
			bitmap[o/8] |= 1 << (o % 8)
		}
		return c.reply(append([]byte{ack}, bitmap[:]...)...)
	case opName:
		var name [16]byte
		copy(name[:], c.firmware.name)
		return c.reply(append([]byte{ack}, name[:]...)...)
	case opBuffer:
		return c.reply(ack, 0xFF, 0xFF) // TCP has flow control, and so has USB
	case opBusTypes:
		return c.reply(ack, busSPI)
	case opMaxWrite:
		return c.reply(ack, maxWrite&0xFF, maxWrite>>8&0xFF, maxWrite>>16)
	case opMaxRead:
		return c.reply(ack, 0, 0, 0) // 2^24: answers are streamed
	case opSync:
		return c.reply(nak, ack)
	case opSetBus:
		p, err := c.parameters(1)
		if err != nil {
			return err
		}
		if p[0]&busSPI == 0 {
			return c.reply(nak)
		}
		return c.reply(ack)
	case opFrequency:
		p, err := c.parameters(4)
		if err != nil {
			return err
		}
		hertz := binary.LittleEndian.Uint32(p[:])
		if hertz < lowest {
			return c.reply(nak)
		}
		return c.reply(binary.LittleEndian.AppendUint32([]byte{ack}, uint32(c.wire.ask(int(hertz))))...)
	case opPins:
		if _, err := c.parameters(1); err != nil {
			return err
		}
		return c.reply(ack)
	case opSPI:
		return c.operate()
	}
	return c.reply(nak)
}

// operate is command 13. All bytes for the chip are here before chip select falls: a client that goes away
// halfway leaves no half frame behind. Chip select rises before the last byte is answered.
func (c *session) operate() error {
	p, err := c.parameters(6)
	if err != nil {
		return err
	}
	send := int(p[0]) | int(p[1])<<8 | int(p[2])<<16
	receive := int(p[3]) | int(p[4])<<8 | int(p[5])<<16
	if send > c.firmware.maxOut && c.firmware.overruns {
		<-c.ctx.Done() // what was behind the buffer is overwritten
		return c.ctx.Err()
	}
	if send > c.firmware.maxOut {
		for n := 0; send > 0; send -= n {
			n = min(send, len(c.buf))
			if err := c.fill(c.buf[:n]); err != nil {
				return err
			}
		}
		return c.reply(nak)
	}
	if err := c.fill(c.buf[:send]); err != nil {
		return err
	}
	c.spi.Add(1)
	c.tell()
	c.chip.Select()
	c.clock(c.buf[:send], nil)
	if receive == 0 {
		c.deselect()
		return c.reply(ack)
	}
	chunk := c.firmware.chunk
	for err := c.out.WriteByte(ack); ; _, err = c.out.Write(c.buf[:chunk]) {
		if err != nil {
			c.deselect()
			return err
		}
		n := min(receive, chunk)
		c.clock(nil, c.buf[:n])
		if receive -= n; receive == 0 {
			c.deselect()
			return c.reply(c.buf[:n]...)
		}
	}
}

func (c *session) deselect() {
	c.tell()
	c.chip.Deselect()
}

// tell tells the chip what time it is on the wire.
func (c *session) tell() {
	if c.timed != nil && c.wire.pace == Real {
		c.timed.At(c.wire.now())
	}
}

// clock shifts out or in, in the time that it takes.
func (c *session) clock(out, in []byte) {
	for len(out) > 0 {
		n := c.piece(len(out))
		c.tell()
		c.chip.Shift(out[:n], nil)
		c.pass(n)
		out = out[n:]
	}
	for len(in) > 0 {
		n := c.piece(len(in))
		c.tell()
		c.chip.Shift(nil, in[:n])
		c.pass(n)
		in = in[n:]
	}
}

func (c *session) piece(n int) int {
	if c.over() {
		return n
	}
	return c.wire.piece(n)
}

func (c *session) pass(n int) {
	if !c.over() {
		c.wire.pass(n, c.over)
	}
}

// over tells whether nobody waits for the wire any more. A client who has hung up with answers on their way is seen now and then; writing to it fails.
func (c *session) over() bool {
	if c.wire.pace == Real && c.wire.end.Sub(c.looked) >= glance {
		c.looked = c.wire.end
		c.in.look()
	}
	return c.in.gone || c.ctx.Err() != nil
}
