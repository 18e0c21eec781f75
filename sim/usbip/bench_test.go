package usbip_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"station/sim/ch341a"
	"station/sim/nor"
	"station/sim/usbip"
)

// BenchmarkCH341ARead is 4 KiB read as flashrom does: one OUT, 133 INs of which 32 are queued.
func BenchmarkCH341ARead(b *testing.B) {
	chip, err := nor.New("MT25QL256ABA", [14]byte{1}, nor.Options{})
	if err != nil {
		b.Fatal(err)
	}
	d := ch341a.New(ch341a.Options{})
	if err := d.Attach(0, chip); err != nil {
		b.Fatal(err)
	}
	s := usbip.New()
	if err := s.Plug("1-1", d); err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, ln) }()
	defer func() { cancel(); <-done }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	conn.Write(importRequest("1-1"))
	if _, err := io.ReadFull(conn, make([]byte, 320)); err != nil {
		b.Fatal(err)
	}
	submit := func(seq *uint32, direction, n uint32, data []byte) {
		*seq++
		if _, err := conn.Write(append(header([10]uint32{1, *seq, 0x10001, direction, 2, 0, n, 0, notIsochronous}, ""), data...)); err != nil {
			b.Fatal(err)
		}
	}
	out := append(unhex("AB37373620"), make([]byte, 27)...)
	for range 133 {
		out = append(out, 0xA8)
		out = append(out, bytes.Repeat([]byte{0xC0}, 31)...)
	}
	var seq uint32
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		submit(&seq, 0, uint32(len(out)), out)
		for range 32 {
			submit(&seq, 1, 31, nil)
		}
		for left, asked := 134, 32; left > 0; left-- {
			var h [48]byte
			if _, err := io.ReadFull(conn, h[:]); err != nil {
				b.Fatal(err)
			}
			if n := binary.BigEndian.Uint32(h[24:]); n == 31 {
				io.CopyN(io.Discard, conn, 31)
				if asked < 133 {
					submit(&seq, 1, 31, nil)
					asked++
				}
			}
		}
	}
}
