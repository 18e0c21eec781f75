// Package serprog offers a simulated chip to flashrom, and to any other program that speaks the serprog
// protocol, version 1, over TCP: `flashrom -p serprog:ip=HOST:PORT`.
//
// What belongs here: the protocol, SPI only, and limits that keep a hostile or broken client from doing more
// than it could on a wire. What does not: the chip (sim/nor), the serial-port and USB faces of serprog
// firmware, and the choice of address and board (the front door).
//
// One client is served at a time; others wait in the listener's queue. Commands offered: 00 to 05, 08, 10 to 15.
// The delay commands are not among them: the client waits by itself. There is no voltage and no reset line in
// the protocol, and the pin drivers (15) switch nothing.
package serprog

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
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

var offered = []byte{opNop, opInterface, opCommands, opName, opBuffer, opBusTypes, opMaxWrite,
	opSync, opMaxRead, opSetBus, opSPI, opFrequency, opPins}

const (
	maxWrite = 64 << 10         // data bytes of one SPI operation, as told to the client
	slack    = 16               // opcode, address and dummy bytes, which clients do not count
	maxHertz = 54_000_000       // plain reads of the part
	chunk    = 64 << 10         // of an answer
	patience = 10 * time.Second // for the rest of a command, and for an answer to be taken
)

// Counts is what clients have asked for so far.
type Counts struct {
	Commands   uint64 // serprog commands
	SPI        uint64 // SPI operations: assertions of chip select
	RoundTrips uint64 // answers that the client had to wait for before it sent more
}

// Server is one programmer with one chip.
type Server struct {
	chip                      Chip
	commands, spi, roundTrips atomic.Uint64
}

// New is a programmer with chip under its pins.
func New(chip Chip) *Server { return &Server{chip: chip} }

// Serve is New(chip).Serve(ctx, ln).
func Serve(ctx context.Context, ln net.Listener, chip Chip) error { return New(chip).Serve(ctx, ln) }

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
		s.session(conn)
		stop()
		conn.Close()
	}
}

// session is one client's connection. Commands wait for the client without a limit, all else has one.
type session struct {
	*Server
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
	buf  []byte

	answered bool // something since the last round trip was counted
}

func (s *Server) session(conn net.Conn) {
	c := &session{
		Server: s, conn: conn, buf: make([]byte, max(maxWrite+slack, chunk)),
		in: bufio.NewReaderSize(conn, 4<<10), out: bufio.NewWriterSize(conn, 4<<10),
	}
	for {
		if c.in.Buffered() == 0 {
			if c.flush() != nil {
				return
			}
		}
		conn.SetReadDeadline(time.Time{})
		op, err := c.in.ReadByte()
		if err != nil {
			return
		}
		conn.SetReadDeadline(time.Now().Add(patience))
		conn.SetWriteDeadline(time.Now().Add(patience))
		s.commands.Add(1)
		if c.command(op) != nil {
			return
		}
	}
}

func (c *session) reply(b ...byte) error {
	c.answered = true
	_, err := c.out.Write(b)
	return err
}

// flush lets the client have its answers, before the server waits for more from it.
func (c *session) flush() error {
	if c.answered {
		c.roundTrips.Add(1)
		c.answered = false
	}
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	return c.out.Flush()
}

// fill reads what belongs to a command that has begun.
func (c *session) fill(p []byte) error {
	if c.in.Buffered() < len(p) {
		if err := c.flush(); err != nil {
			return err
		}
	}
	_, err := io.ReadFull(c.in, p)
	return err
}

// parameters reads the n bytes, at most 8, that follow an opcode.
func (c *session) parameters(n int) ([8]byte, error) {
	var p [8]byte
	err := c.fill(p[:n])
	return p, err
}

func (c *session) command(op byte) error {
	switch op {
	case opNop:
		return c.reply(ack)
	case opInterface:
		return c.reply(ack, 1, 0)
	case opCommands:
		var bitmap [32]byte
		for _, o := range offered {
			bitmap[o/8] |= 1 << (o % 8)
		}
		return c.reply(append([]byte{ack}, bitmap[:]...)...)
	case opName:
		var name [16]byte
		copy(name[:], "station sim")
		return c.reply(append([]byte{ack}, name[:]...)...)
	case opBuffer:
		return c.reply(ack, 0xFF, 0xFF) // TCP has flow control
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
		hertz := min(binary.LittleEndian.Uint32(p[:]), maxHertz)
		if hertz == 0 {
			return c.reply(nak)
		}
		return c.reply(binary.LittleEndian.AppendUint32([]byte{ack}, hertz)...)
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

var errTooLong = errors.New("serprog: SPI operation is too long")

// operate is command 13. All bytes for the chip are here before chip select falls: a client that goes away
// halfway leaves no half frame behind. Chip select rises before the last byte is answered.
func (c *session) operate() error {
	p, err := c.parameters(6)
	if err != nil {
		return err
	}
	send := int(p[0]) | int(p[1])<<8 | int(p[2])<<16
	receive := int(p[3]) | int(p[4])<<8 | int(p[5])<<16
	if send > maxWrite+slack {
		if _, err := io.CopyN(io.Discard, c.in, int64(send)); err != nil {
			return errTooLong
		}
		return c.reply(nak)
	}
	if err := c.fill(c.buf[:send]); err != nil {
		return err
	}
	c.spi.Add(1)
	c.chip.Select()
	if send > 0 {
		c.chip.Shift(c.buf[:send], nil)
	}
	for first := true; ; first = false {
		n := min(receive, chunk)
		receive -= n
		if n > 0 {
			c.chip.Shift(nil, c.buf[:n])
		}
		if receive == 0 {
			c.chip.Deselect()
		}
		err := c.answer(first, c.buf[:n])
		if receive == 0 {
			return err
		}
		if err != nil {
			c.chip.Deselect()
			return err
		}
	}
}

func (c *session) answer(first bool, p []byte) error {
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	if first {
		if err := c.reply(ack); err != nil {
			return err
		}
	}
	_, err := c.out.Write(p)
	return err
}
