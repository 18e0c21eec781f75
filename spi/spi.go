// Package spi is the contract between the chip's side (flash) and the wires' side
// (fixtures and its drivers): an exclusive hold on one chip-select line, used in frames.
//
// A frame is one assertion of chip select. Frames carry no meaning here: opcodes,
// addresses and waiting belong to flash, packets and USB to the drivers.
//
// This package imports the standard library only and holds no code beyond its errors.
package spi

import (
	"context"
	"time"
)

// Frame is one assertion of chip select: bytes out, then bytes in, most significant
// bit first, SPI mode 0. Chip select goes low before the first bit and high after the last.
type Frame struct {
	// Out is clocked out first. What the chip answers meanwhile is dropped.
	Out []byte
	// In is filled with what the chip answers after Out. Its length is the number of bytes clocked.
	In []byte
	// Idle is the least time that chip select stays high after this frame,
	// before the next frame of the same Do begins and before Do returns.
	Idle time.Duration
	// Secret marks Out and In as chip secrets: nobody below traces them, dumps them, or puts
	// them into an error, and buffers that held them are wiped once the frame is done.
	Secret bool
}

// Conn is an exclusive hold on one chip-select line. It is used by one goroutine at a time.
type Conn interface {
	// Do carries out the frames in order and returns when the last one, its Idle included,
	// is over: the end of a Do is a barrier.
	//
	// A driver splits a Do between frames where its transfers are full; it never splits a frame.
	// Cancellation of ctx acts between transfers only, and leaves the link in step with chip select
	// high; the Conn stays usable. Every wait in here has a limit of its own besides ctx.
	//
	// A failure is a *FrameError. In of the frames before its Index is valid, of the others undefined.
	// After a failure whose Err is not a context error the Conn may be unusable; lease it anew.
	Do(ctx context.Context, frames ...Frame) error

	// Limits is constant for the life of a Conn.
	Limits() Limits
}

// Limits tell what a link can carry and how fast, so that flash can choose batch sizes,
// speculation and the number of status bytes to sample.
type Limits struct {
	// ByteTime is the time of eight clocks on the wire; 0 where nobody knows it.
	ByteTime time.Duration
	// MaxFrame is the most bytes, Out and In together, that one frame may have. Larger frames
	// fail with Sent No. At least 512.
	MaxFrame int
	// MaxOut is the most bytes of Out, where that is less than MaxFrame; 0 where it is not. Larger ones fail with Sent No. At least 261: opcode, four
	// address bytes and a page of 256.
	MaxOut int
	// Grain: frames whose bytes, Out and In together, are a multiple of it cost the least. 1 where all lengths cost alike.
	Grain int
	// HostIdle tells that the device keeps no Idle: the host waits, and every frame with an Idle costs a round trip.
	HostIdle bool
	// MaxAnswer is the most bytes, Out and In each, that a frame may have unless it is one that the programmer's firmware has a
	// command of its own for, such as a read at an address. Others fail with Sent No. 0 where MaxFrame alone counts.
	MaxAnswer int
}

// Powered is the optional ability to switch the target's supply, found by type assertion on a Conn.
type Powered interface {
	// Power switches the supply and returns when it is stable. While it is off no pin is driven.
	Power(ctx context.Context, on bool) error
}

// PageProgrammer is the optional ability of firmware that programs pages by itself, found by type assertion on a Conn.
type PageProgrammer interface {
	// ProgramPages programs data, whole pages of 256 bytes from the start of a page on. command is opcode and address of the first page, as
	// the Out of its frame would begin. For each page the firmware sends the write enable and the program, and waits until the chip is ready; what
	// the chip made of it nobody is told, so its registers are to be read behind the last page, which may still be under way.
	//
	// Cancellation acts before the first page. A failure is a *FrameError whose Index counts pages.
	ProgramPages(ctx context.Context, command, data []byte) error
}

// Sent says whether the frame that failed reached the chip.
type Sent int

const (
	// Maybe: nobody knows. The zero value, because it is the safe answer.
	Maybe Sent = iota
	// No: the frame certainly did not reach the chip, nor did any after it.
	No
	// Yes: the frame certainly reached the chip whole; only its answer is missing.
	Yes
)

func (s Sent) String() string {
	switch s {
	case No:
		return "not sent"
	case Yes:
		return "sent, answer lost"
	}
	return "perhaps sent"
}

// FrameError is the failure of a Do. Only Sent No may be treated as not sent.
// It never carries bytes of a frame. Its text is Err's alone: sentences that people read are made of it, and which frame of how many it was says
// nothing to them.
type FrameError struct {
	Index int  // the first frame that did not complete
	Sent  Sent // of that frame; the frames after it were not sent when it is No, and perhaps sent otherwise
	Err   error
}

func (e *FrameError) Error() string { return e.Err.Error() }

func (e *FrameError) Unwrap() error { return e.Err }
