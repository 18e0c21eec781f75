package nor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The board file, version 4. Integers are little-endian; a page is 4096 bytes.
//
//	page 0    header: "NORBOARD", u16 version, u16 0, u32 array size, 32 bytes part name (NUL padded),
//	          14 bytes UID, u32 CRC-32C of all before it
//	page 1, 2 state slots, written in turn: state number n is in page 1 + n%2
//	page 3..  the array, inverted: a blank cell is 00, so a blank chip is a sparse file
//
// A state slot is u32 CRC-32C of the following length bytes, u32 length, then the state as encode writes it,
// beginning with its number. The valid slot with the higher number holds.
//
// An operation on the array is written to a slot first, as a redo record in the state that follows it, and
// then to the array; opening the file applies the record again. So a process may be killed between any two
// writes. Nothing is synced: a crash of the host may lose what its kernel had not written yet.
//
// Files of versions 2 and 3 have shorter slots. Opening one makes it version 4 before anything else is written, so that a program which
// knows older versions only cannot take one of its slots for the newest.
const (
	fileVersion = 4
	oldVersion  = 2 // the oldest that is known
	filePage    = 4096
	fileArray   = 3 * filePage
	headerSize  = 8 + 2 + 2 + 4 + 32 + 14 + 4
)

var fileMagic = []byte("NORBOARD")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	// ErrInUse says that another opener, of this process or another, holds the board file.
	ErrInUse = errors.New("board file is in use")
	// ErrCorrupt says that a file is no whole board file.
	ErrCorrupt = errors.New("no whole board file")
)

// Create makes a factory-blank chip, powered up, in a new board file. It fails with os.ErrExist where path
// exists, and with ErrPart; the file appears whole or not at all.
func Create(path, name string, uid [14]byte, o Options) (*Chip, error) {
	p, ok := parts[name]
	if !ok {
		return nil, fmt.Errorf("%w %q", ErrPart, name)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return nil, fmt.Errorf("create board: %w", err)
	}
	defer os.Remove(f.Name())
	c := newChip(p, uid, o)
	c.board = &file{f: f}
	if err := c.format(path, f); err != nil {
		f.Close()
		return nil, fmt.Errorf("create board: %w", err)
	}
	return c, nil
}

func (c *Chip) format(path string, f *os.File) error {
	if err := lock(f); err != nil {
		return err
	}
	if err := f.Truncate(fileArray + int64(c.part.size)); err != nil {
		return err
	}
	if _, err := f.WriteAt(header(c.part, c.uid), 0); err != nil {
		return err
	}
	var empty [2 * filePage]byte // allocates the slots, so that a full disk cannot stop a state
	if _, err := f.WriteAt(empty[:], filePage); err != nil {
		return err
	}
	c.save()
	if c.err != nil {
		return c.err
	}
	return os.Link(f.Name(), path) // fails where path exists
}

// Open goes on with the chip in a board file, powered or not, busy or not, as it was left. It fails with
// ErrInUse at once while another holds the file, with ErrCorrupt, and with the errors of os.
func Open(path string, o Options) (*Chip, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open board: %w", err)
	}
	c, err := load(f, o)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open board %s: %w", path, err)
	}
	return c, nil
}

func load(f *os.File, o Options) (*Chip, error) {
	if err := lock(f); err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var first [fileArray]byte
	if n, err := f.ReadAt(first[:], 0); n < len(first) {
		return nil, fmt.Errorf("%w: %d bytes: %w", ErrCorrupt, n, err)
	}
	p, uid, err := parseHeader(first[:headerSize])
	if err != nil {
		return nil, err
	}
	if want := fileArray + int64(p.size); info.Size() != want {
		return nil, fmt.Errorf("%w: %d bytes, a board with %s has %d", ErrCorrupt, info.Size(), p.name, want)
	}
	c := newChip(p, uid, o)
	c.board = &file{f: f}
	one, okOne := decodeSlot(p, first[filePage:2*filePage])
	two, okTwo := decodeSlot(p, first[2*filePage:])
	switch {
	case okOne && (!okTwo || one.seq > two.seq):
		c.st = one
	case okTwo:
		c.st = two
	default:
		return nil, fmt.Errorf("%w: both state slots are damaged", ErrCorrupt)
	}
	if binary.LittleEndian.Uint16(first[8:]) != fileVersion {
		if _, err := f.WriteAt(header(p, uid), 0); err != nil {
			return nil, err
		}
	}
	if now := time.Now(); c.st.ready.Sub(now) > p.times.die {
		c.st.ready = now // the clock was set back
	}
	if time.Until(c.st.deaf) > powerUp {
		c.st.deaf = time.Time{}
	}
	c.redo()
	if c.err != nil {
		return nil, c.err
	}
	return c, nil
}

// Close lets go of the board file; the chip is dead from then on. A chip in memory has nothing to let go of.
// The state is in the file already: Close only tells whether something had failed before.
func (c *Chip) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.err, os.ErrClosed) {
		return nil
	}
	err := errors.Join(c.err, c.board.close())
	c.err = os.ErrClosed
	return err
}

func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}

func header(p part, uid [14]byte) []byte {
	h := append(make([]byte, 0, headerSize), fileMagic...)
	h = binary.LittleEndian.AppendUint16(h, fileVersion)
	h = binary.LittleEndian.AppendUint16(h, 0)
	h = binary.LittleEndian.AppendUint32(h, p.size)
	var name [32]byte
	copy(name[:], p.name)
	h = append(append(h, name[:]...), uid[:]...)
	return binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
}

func parseHeader(h []byte) (p part, uid [14]byte, err error) {
	if !bytes.HasPrefix(h, fileMagic) {
		return p, uid, fmt.Errorf("%w: it does not begin with %s", ErrCorrupt, fileMagic)
	}
	if v := binary.LittleEndian.Uint16(h[8:]); v > fileVersion || v < oldVersion {
		return p, uid, fmt.Errorf("%w: version %d, only %d to %d are known", ErrCorrupt, v, oldVersion, fileVersion)
	}
	end := len(h) - 4
	if crc32.Checksum(h[:end], castagnoli) != binary.LittleEndian.Uint32(h[end:]) {
		return p, uid, fmt.Errorf("%w: header checksum is wrong", ErrCorrupt)
	}
	name := strings.TrimRight(string(h[16:48]), "\x00")
	p, ok := parts[name]
	if !ok {
		return p, uid, fmt.Errorf("%w %q", ErrPart, name)
	}
	if binary.LittleEndian.Uint32(h[12:]) != p.size {
		return p, uid, fmt.Errorf("%w: array size is not that of %s", ErrCorrupt, name)
	}
	copy(uid[:], h[48:])
	return p, uid, nil
}

// file is a board that outlives its process.
type file struct{ f *os.File }

func (b *file) read(p []byte, addr uint32) error {
	_, err := b.f.ReadAt(p, fileArray+int64(addr))
	return err
}

func (b *file) write(p []byte, addr uint32) error {
	_, err := b.f.WriteAt(p, fileArray+int64(addr))
	return err
}

// blank writes zeros where there is anything else, so that blank areas stay holes.
func (b *file) blank(addr, n uint32) error {
	var buf [16 * filePage]byte
	var zero [filePage]byte
	for n > 0 {
		m := min(n, uint32(len(buf)))
		if err := b.read(buf[:m], addr); err != nil {
			return err
		}
		for i := uint32(0); i < m; i += filePage {
			if bytes.Equal(buf[i:i+filePage], zero[:]) {
				continue
			}
			if err := b.write(zero[:], addr+i); err != nil {
				return err
			}
		}
		addr, n = addr+m, n-m
	}
	return nil
}

func (b *file) save(slot []byte, seq uint64) error {
	_, err := b.f.WriteAt(slot, filePage*int64(1+seq%2))
	return err
}

// close unlocks first: a process that is being started just now holds a copy of the descriptor, and with it the lock, until it is under way.
func (b *file) close() error {
	return errors.Join(syscall.Flock(int(b.f.Fd()), syscall.LOCK_UN), b.f.Close())
}
