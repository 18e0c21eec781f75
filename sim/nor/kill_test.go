package nor_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"station/sim/nor"
)

// TestMain is also the child that the tests here kill: it does what childRounds names, for ever, and says on its standard
// output how many rounds the chip has acknowledged.
func TestMain(m *testing.M) {
	path := os.Getenv("NOR_KILL_ME")
	if path == "" {
		os.Exit(m.Run())
	}
	c, err := nor.Open(path, nor.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	work := childRounds[os.Getenv("NOR_KILL_WORK")]
	for n := work.done(c); ; n++ {
		work.round(c, n)
		if status(c)&1 != 0 || c.Err() != nil {
			fmt.Fprintln(os.Stderr, "not ready:", c.Err())
			os.Exit(1)
		}
		if _, err := os.Stdout.Write(binary.LittleEndian.AppendUint32(nil, n)); err != nil {
			os.Exit(1)
		}
	}
}

var childRounds = map[string]struct {
	done  func(c *nor.Chip) uint32 // rounds that the chip holds
	round func(c *nor.Chip, n uint32)
}{
	"array":     {rounds, round},
	"permanent": {permanentRounds, permanentRound},
	"signed":    {func(c *nor.Chip) uint32 { return uint32(c.CommandCounter()) }, signedRound},
}

// kill starts a child on the board file, kills it some time after its first word, and returns how many rounds it has
// said were acknowledged.
func kill(t *testing.T, path, work string, after time.Duration) (acknowledged uint32) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "NOR_KILL_ME="+path, "NOR_KILL_WORK="+work)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	var word [4]byte
	if _, err := io.ReadFull(r, word[:]); err != nil {
		t.Fatalf("child: %v, %v", err, child.Wait())
	}
	acknowledged = binary.LittleEndian.Uint32(word[:]) + 1
	timer := time.AfterFunc(after, func() { child.Process.Kill() })
	for {
		if _, err := io.ReadFull(r, word[:]); err != nil {
			break
		}
		acknowledged = binary.LittleEndian.Uint32(word[:]) + 1
	}
	timer.Stop()
	child.Wait() // killed: its error says no more
	return acknowledged
}

const ring = 64 // pages, 16 KiB: four erase units

// round n erases an erase unit when it enters it and then writes its number all over a page.
func round(c *nor.Chip, n uint32) {
	page := n % ring
	if page%16 == 0 {
		write(c, 0x20, 0, byte(page), 0)
	}
	write(c, with(pageOf(n), 0x02, 0, byte(page), 0)...)
}

func pageOf(n uint32) []byte { return bytes.Repeat(binary.LittleEndian.AppendUint32(nil, n), 64) }

// rounds is the first round that the chip does not hold yet.
func rounds(c *nor.Chip) uint32 { return uint32(c.Counters()[nor.CountProgram]) }

// A process that is killed at any instant loses nothing that the chip acknowledged, and tears nothing: the array is what
// the rounds have made of it, up to the counter, which is part of the same state.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chip")
	create(t, path, "MT25QL128ABA", nor.Options{}).Close()
	dice := rand.New(rand.NewPCG(3, 4))
	const kills = 40
	total := uint32(0)
	for range kills {
		acknowledged := kill(t, path, "array", time.Duration(dice.IntN(3000))*time.Microsecond)
		c, err := nor.Open(path, nor.Options{})
		if err != nil {
			t.Fatal(err)
		}
		total = rounds(c)
		if total < acknowledged || total > acknowledged+1 {
			t.Fatalf("the chip holds %d rounds, %d were acknowledged", total, acknowledged)
		}
		erases := c.Counters()[nor.CountErase]
		begun := uint64(total+15) / 16 // erases that the rounds so far needed
		if erases < begun {
			t.Fatalf("%d erases for %d rounds", erases, total)
		}
		// the round that was under way may have erased its unit
		erased := total%16 == 0 && bytes.Equal(c.Bytes(total%ring/16*4096, 4096), bytes.Repeat([]byte{0xFF}, 4096))
		for page := uint32(0); page < ring; page++ {
			want := bytes.Repeat([]byte{0xFF}, 256)
			last := total - 1 - (total-1-page)%ring // the last round that wrote this page
			unit := total % ring / 16
			switch {
			case page/16 == unit && (page >= total%ring && total%16 != 0 || erased):
			case total > page:
				want = pageOf(last)
			}
			if got := c.Bytes(page*256, 256); !bytes.Equal(got, want) {
				t.Fatalf("after %d rounds page %d holds % X..., want % X...", total, page, got[:8], want[:8])
			}
		}
		c.Close()
	}
	t.Logf("%d rounds under %d kills", total, kills)
}

// signedRound n protects four erase units first, and then does in them with signed blocks what round does with plain commands.
func signedRound(c *nor.Chip, n uint32) {
	s := signerOf(c)
	switch page := (n - 1) % (ring + 4); {
	case n == 0:
		op1(c, with(s.protect(0, 0x10000), 0x9B))
	case page%17 == 0:
		op1(c, with(s.erase(page/17*4096), 0x9B))
	default:
		op1(c, with(s.write((page-page/17-1)*256, pageOf(n)), 0x9B))
	}
}

// The same for signed blocks: each acknowledged one holds, with the counter, and none holds twice.
func TestKillSigned(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chip")
	dice := rand.New(rand.NewPCG(7, 8))
	create(t, path, authenta, nor.Options{}).Close()
	model, done := newChip(t, authenta, nor.Options{}), uint32(0)
	for range 20 {
		acknowledged := kill(t, path, "signed", time.Duration(dice.IntN(3000))*time.Microsecond)
		c, err := nor.Open(path, nor.Options{})
		if err != nil {
			t.Fatal(err)
		}
		total := uint32(c.CommandCounter())
		if total < acknowledged || total > acknowledged+1 {
			t.Fatalf("the chip holds %d blocks, %d were acknowledged", total, acknowledged)
		}
		for ; done < total; done++ {
			signedRound(model, done)
		}
		if got, want := signed(c), signed(model); got != want || !bytes.Equal(c.Bytes(0, 5*4096), model.Bytes(0, 5*4096)) {
			t.Fatalf("after %d blocks the board holds %s, and not %s, or other cells", total, got, want)
		}
		c.Close()
	}
	t.Logf("%d blocks under 20 kills", done)
}

// permanentRound n is a root key, then a bit of the password, then password mode, then increments for ever.
func permanentRound(c *nor.Chip, n uint32) {
	switch {
	case n < 4:
		op1(c, rootKeyPacket(byte(n), killKey(n)))
	case n < 4+64:
		p := bytes.Repeat([]byte{0xFF}, 8)
		p[(n-4)/8] &^= 1 << ((n - 4) % 8)
		write(c, with(p, 0x28)...)
		do(c, 0, 0x50) // this one asked for ones
	case n == 4+64:
		write(c, 0x2C, 0xFB, 0xFF)
	default:
		key := hmacKey(killKey(n%4), n)
		op1(c, updatePacket(byte(n%4), killKey(n%4), n))
		op1(c, incrementPacket(byte(n%4), key, c.CounterValue(int(n%4))))
	}
}

func killKey(i uint32) []byte { return bytes.Repeat([]byte{byte(i) + 1}, 32) }

func permanentRounds(c *nor.Chip) uint32 {
	n := c.Counters()
	return uint32(n[nor.CountRootKey] + n[nor.CountPassword] + n[nor.CountSectorProtection] + n[nor.CountIncrement])
}

// The same for what is permanent: each acknowledged operation holds, none holds twice, none is torn.
func TestKillPermanent(t *testing.T) {
	dice := rand.New(rand.NewPCG(5, 6))
	path := filepath.Join(t.TempDir(), "chip")
	seen := [4]int{} // kills among root keys, password bits, at 2C, among increments
	for range 10 {
		create(t, path, authenta, nor.Options{}).Close()
		for range 2 {
			acknowledged := kill(t, path, "permanent", time.Duration(dice.IntN(1<<dice.IntN(12)))*time.Microsecond)
			c, err := nor.Open(path, nor.Options{})
			if err != nil {
				t.Fatal(err)
			}
			done := permanentRounds(c)
			if done < acknowledged || done > acknowledged+1 {
				t.Fatalf("the chip holds %d operations, %d were acknowledged", done, acknowledged)
			}
			model := newChip(t, authenta, nor.Options{})
			for n := range done {
				permanentRound(model, n)
			}
			if a, b := permanent(c), permanent(model); a != b {
				t.Fatalf("after %d operations the board holds\n%s\nand not\n%s", done, a, b)
			}
			switch {
			case done <= 4:
				seen[0]++
			case done < 68:
				seen[1]++
			case done <= 69:
				seen[2]++
			default:
				seen[3]++
			}
			c.Close()
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("kills among root keys, password bits, at 2C, among increments: %v", seen)
}

// permanent is all that no power cut undoes.
func permanent(c *nor.Chip) string {
	text := fmt.Sprintf("password % X, SPR %04X, effects %v", c.Password(), c.SPR(), c.Counters())
	for i := range 4 {
		key, ok := c.RootKey(i)
		text += fmt.Sprintf("; counter %d: %v %X %d", i, ok, key, c.CounterValue(i))
	}
	return text
}
