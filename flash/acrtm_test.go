package flash

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

// invented is the table that is shipped.
func invented(t testing.TB) *ACRTM {
	t.Helper()
	p, err := partNamed("MT25QL128ABB")
	if err != nil {
		t.Fatal(err)
	}
	return p.ACRTM
}

// acrtmVectors are blocks and replies of the invented map that another program made.
func acrtmVectors(t testing.TB) map[string]struct{ Block, Reply string } {
	t.Helper()
	text, err := os.ReadFile("../docs/acrtm-invented.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Blocks map[string]struct{ Block, Reply string }
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v.Blocks
}

// The table lists the commands of the map and their lengths, and says itself that it is invented.
func TestACRTMTable(t *testing.T) {
	for _, p := range Parts() {
		if named := p.Name == "MT25QL128ABB" || p.Name == "MT25QU128ABB"; named != (p.ACRTM != nil) {
			t.Fatalf("%s: table %v", p.Name, p.ACRTM)
		}
		if p.ACRTM == nil {
			continue
		}
		if text := profileText(t, p.Name); p.ACRTM.Map != Invented || !strings.Contains(text, "# INVENTED: no real part has this command map") || !slices.Contains(p.Assumed, "acrtm") {
			t.Errorf("%s does not say that its map is invented", p.Name)
		}
	}
	table := invented(t)
	classes := map[string]Class{"counters": ReadOnly, "measure": ReadOnly, "write": StateChanging, "erase": StateChanging, "protect": StateChanging}
	vectors := acrtmVectors(t)
	vectors["counters"] = struct{ Block, Reply string }{table.Counters.Block, strings.Repeat("00", 16)}
	if len(vectors) != len(table.Commands) || len(vectors) != len(classes) {
		t.Fatalf("%d vectors, %d commands", len(vectors), len(table.Commands))
	}
	for name, v := range vectors {
		block := unhex(v.Block)
		c, err := table.Check(block)
		must(t, err)
		if c.Name != name || c.Class != classes[name] || c.OneWay != (name == "protect") || 2*c.Reply != len(v.Reply) || table.Command(name) != c {
			t.Errorf("%s: %+v", name, c)
		}
		for _, bad := range [][]byte{block[:len(block)-1], append(slices.Clone(block), 0), append([]byte{block[0] - 1}, block[1:]...), append([]byte{block[0], 0x7F}, block[2:]...)} {
			_, err := table.Check(bad)
			is(t, err, ErrBlock)
		}
	}
	if table.Command("format") != nil {
		t.Error("there is no such command")
	}
}

// TestRelayCheckShipped enumerates every pair of first bytes with every length that an entry has, its neighbours, and some more.
func TestRelayCheckShipped(t *testing.T) {
	table, listed := invented(t), listing(t, profileText(t, "MT25QL128ABB"))
	passed := 0
	block := make([]byte, 700)
	lengths := []int{0, 1, 2, 3, 4, 5, 15, 16, 32, 47, 48, 49, 51, 52, 53, 63, 64, 67, 68, 69, 303, 304, 305, 699}
	for first := range 256 {
		for second := range 256 {
			block[0], block[1] = byte(first), byte(second)
			for _, n := range lengths {
				want := listed.class(block[:n])
				got := Class("")
				if c, err := table.Check(block[:n]); err == nil {
					got = c.Class
					passed++
				}
				if got != want {
					t.Fatalf("%02X %02X of %d bytes: %q, want %q", first, second, n, got, want)
				}
			}
		}
	}
	if passed != 5 {
		t.Errorf("%d of all blocks passed", passed)
	}
}

// FuzzRelayCheck: no block passes that the YAML of the table does not list, and each that it lists does, by its class.
func FuzzRelayCheck(f *testing.F) {
	table, listed := invented(f), listing(f, profileText(f, "MT25QL128ABB"))
	for _, v := range acrtmVectors(f) {
		f.Add(unhex(v.Block))
	}
	f.Add([]byte{})
	f.Add(unhex(table.Counters.Block))
	for _, v := range []vector{vectorA, vectorB} {
		for _, packet := range [][]byte{v.rootKey, v.update, v.increment, v.request} {
			f.Add(packet[1:])
		}
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		want, before := listed.class(block), string(block)
		c, err := table.Check(block)
		switch {
		case err != nil && want != "":
			t.Errorf("%X: %v, and the table lists it as %s", block, err, want)
		case err == nil && c.Class != want:
			t.Errorf("%X passes as %s, and the table says %q", block, c.Class, want)
		}
		if string(block) != before {
			t.Error("Check altered the block")
		}
	})
}

// blocks are all blocks that a table lists, as far as the bytes and lengths in question go: those bytes, then as many as there are behind them.
type blocks struct {
	depth   int // bytes that are told apart
	classes map[prefix]Class
}

type prefix struct {
	bytes  string
	length int // of the block
}

func (b blocks) class(block []byte) Class {
	return b.classes[prefix{string(block[:min(len(block), b.depth)]), len(block)}]
}

// listing is the oracle: it reads the YAML as nobody's type, and writes down every block of every entry, one by one. Two bytes are told apart, as the shipped
// table's entries do.
func listing(t testing.TB, text string) blocks {
	t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	return enumerate(doc["acrtm"].(map[string]any), 2, func() (all []byte) {
		for b := range 256 {
			all = append(all, byte(b))
		}
		return all
	}())
}

// enumerate makes every string of alphabet up to depth bytes long, drops those that an entry does not want or that begin with a sub-command of RPMC, and lists the rest with each
// length of the entry.
func enumerate(table map[string]any, depth int, alphabet []byte) blocks {
	b := blocks{depth, map[prefix]Class{}}
	for _, c := range table["commands"].([]any) {
		command := c.(map[string]any)
		for length := command["min"].(int); length <= command["max"].(int); length++ {
			strings := []string{""}
			for at := range min(length, depth) {
				choice := alphabet
				for _, m := range command["match"].([]any) {
					if match := m.(map[string]any); match["at"].(int) == at {
						choice = []byte{byte(match["value"].(int))}
					}
				}
				var longer []string
				for _, s := range strings {
					for _, x := range choice {
						if at > 0 || x > 3 {
							longer = append(longer, s+string([]byte{x}))
						}
					}
				}
				strings = longer
			}
			for _, s := range strings {
				b.classes[prefix{s, length}] = Class(command["class"].(string))
			}
		}
	}
	return b
}

// TestRelayCheckAnyTable: for random tables, what validate accepts lets exactly the listed blocks pass, each as its class.
func TestRelayCheckAnyTable(t *testing.T) {
	const depth = 3
	alphabet := []byte{0x00, 0x03, 0x04, 0xF0, 0xF1}
	rapid.Check(t, func(t *rapid.T) {
		table := ACRTM{Map: "drawn", Op1: 0x9B, Op2: 0x96, MaxWrite: 6, MaxRead: 4, Busy: 1, OK: 0x80, Poll: time.Millisecond, Limit: time.Second}
		for i := range rapid.IntRange(1, 3).Draw(t, "commands") {
			c := ACRTMCommand{Name: fmt.Sprintf("c%d", i), Class: rapid.SampledFrom([]Class{ReadOnly, StateChanging}).Draw(t, "class")}
			c.Min = rapid.IntRange(1, 5).Draw(t, "min")
			c.Max = rapid.IntRange(c.Min, 6).Draw(t, "max")
			for at := range depth {
				if at == 0 || rapid.Bool().Draw(t, "matched") {
					c.Match = append(c.Match, ByteMatch{at, rapid.SampledFrom(alphabet[2:]).Draw(t, "value")})
				}
			}
			table.Commands = append(table.Commands, c)
		}
		var wrong []string
		table.validate(func(ok bool, format string, args ...any) {
			if !ok {
				wrong = append(wrong, fmt.Sprintf(format, args...))
			}
		})
		text, err := yaml.Marshal(&table)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		if len(wrong) > 0 {
			t.Skip("ambiguous, or a match behind the end")
		}
		listed := enumerate(doc, depth, alphabet)
		passed := map[prefix]bool{}
		for _, length := range []int{0, 1, 2, 3, 4, 5, 6, 7} {
			for i := range 125 { // 5 to the depth
				block := make([]byte, length)
				for at := range min(length, depth) {
					block[at] = alphabet[i%5]
					i /= 5
				}
				want := listed.class(block)
				got := Class("")
				if c, err := table.Check(block); err == nil {
					got = c.Class
					passed[prefix{string(block[:min(length, depth)]), length}] = true
				}
				if got != want {
					t.Fatalf("%X: %q, want %q, by %s", block, got, want, text)
				}
			}
		}
		if len(passed) != len(listed.classes) {
			t.Fatalf("%d blocks pass, %d are listed", len(passed), len(listed.classes))
		}
	})
}

// A table that was never validated lets nothing through twice over, and nothing of RPMC.
func TestRelayCheckUnvalidated(t *testing.T) {
	table := *invented(t)
	table.Commands = append(slices.Clone(table.Commands), ACRTMCommand{Name: "any", Match: []ByteMatch{{0, 0xF1}}, Class: ReadOnly, Min: 1, Max: 304})
	_, err := table.Check(unhex(acrtmVectors(t)["write"].Block))
	is(t, err, ErrBlock)
	for sub := range byte(4) {
		table.Commands[5].Match = []ByteMatch{{0, sub}}
		_, err = table.Check(append([]byte{sub}, vectorA.update[2:]...))
		is(t, err, ErrBlock)
	}
	table.Commands[5].Match = nil // wants nothing, and so lists nothing
	_, err = table.Check([]byte{0xEE})
	is(t, err, ErrBlock)
}

func TestACRTMValidateRefuses(t *testing.T) {
	for want, spoil := range map[string]func(*ACRTM){
		"op1 and op2 are not those of rpmc":                            func(a *ACRTM) { a.Op1 = 0x9C },
		"acrtm: map \"\" is no name":                                   func(a *ACRTM) { a.Map = "" },
		"map \"Micron map\"":                                           func(a *ACRTM) { a.Map = "Micron map" },
		"max_write 5000":                                               func(a *ACRTM) { a.MaxWrite = 5000 },
		"max_read 0":                                                   func(a *ACRTM) { a.MaxRead = 0 },
		"trailer 65":                                                   func(a *ACRTM) { a.Trailer = 65 },
		"trailer -1":                                                   func(a *ACRTM) { a.Trailer = -1 },
		"busy 0x00":                                                    func(a *ACRTM) { a.Busy = 0 },
		"busy 0x80 has no bits, or is part":                            func(a *ACRTM) { a.Busy = 0x80 },
		"ok 0x00 is what":                                              func(a *ACRTM) { a.OK = 0 },
		"ok 0xFF is what":                                              func(a *ACRTM) { a.OK, a.Busy = 0xFF, 1 },
		"poll 3s":                                                      func(a *ACRTM) { a.Poll = 3 * time.Second },
		"limit 2h0m0s":                                                 func(a *ACRTM) { a.Limit = 2 * time.Hour },
		"commands: 0 are":                                              func(a *ACRTM) { a.Commands = nil },
		"commands: 65 are":                                             func(a *ACRTM) { a.Commands = make([]ACRTMCommand, 65) },
		"commands.2: name \"Write\"":                                   func(a *ACRTM) { a.Commands[2].Name = "Write" },
		"commands.3: name write is commands.2's":                       func(a *ACRTM) { a.Commands[3].Name = "write" },
		"commands.1: class \"harmless\"":                               func(a *ACRTM) { a.Commands[1].Class = "harmless" },
		"commands.1: one_way, and not":                                 func(a *ACRTM) { a.Commands[1].OneWay = true },
		"commands.2: lengths 304, 305":                                 func(a *ACRTM) { a.Commands[2].Max = 305 },
		"commands.2: lengths 304, 303":                                 func(a *ACRTM) { a.Commands[2].Max = 303 },
		"commands.0: lengths 0, 4":                                     func(a *ACRTM) { a.Commands[0].Min = 0 },
		"commands.1: a reply of 73 bytes":                              func(a *ACRTM) { a.Commands[1].Reply = 73 },
		"commands.3: min 32 has no room":                               func(a *ACRTM) { a.Commands[3].Min = 32 },
		"commands.3: match: 17 bytes":                                  func(a *ACRTM) { a.Commands[3].Match = make([]ByteMatch, 17) },
		"commands.3: match.1: at 16 is not within the 16":              func(a *ACRTM) { a.Commands[3].Match[1].At = 16 },
		"commands.3: match.1: at -1":                                   func(a *ACRTM) { a.Commands[3].Match[1].At = -1 },
		"commands.3: match.1: at 0 is there twice":                     func(a *ACRTM) { a.Commands[3].Match[1].At = 0 },
		"commands.3: match: byte 0":                                    func(a *ACRTM) { a.Commands[3].Match = a.Commands[3].Match[1:] },
		"commands.4: match: byte 0":                                    func(a *ACRTM) { a.Commands[4].Match = nil },
		"commands.4: match: sub-commands 00 to 03":                     func(a *ACRTM) { a.Commands[4].Match[0].Value = 3 },
		"commands.3: a block may match commands.2":                     func(a *ACRTM) { a.Commands[3].Match = a.Commands[3].Match[:1] },
		"commands.4: a block may match commands.1":                     func(a *ACRTM) { a.Commands[4].Match = []ByteMatch{{0, 0xF0}, {2, 9}} },
		"counters: block \"F00\" is not hex":                           func(a *ACRTM) { a.Counters.Block = "F00" },
		"counters: block is refused: it is empty":                      func(a *ACRTM) { a.Counters.Block = "" },
		"counters: block is refused: counters has 4 to 4 bytes, not 3": func(a *ACRTM) { a.Counters.Block = "F00000" },
		"counters: block is refused: no entry":                         func(a *ACRTM) { a.Counters.Block = "F0020000" },
		"counters: command erase is state-changing":                    func(a *ACRTM) { a.Counters.Block = "F101" + strings.Repeat("00", 46) },
		"counters: reply 15 is not":                                    func(a *ACRTM) { a.Counters.Reply = 15 },
		"counters: power_on 9 is not within":                           func(a *ACRTM) { a.Counters.PowerOn = 9 },
		"counters: command -1 is not within":                           func(a *ACRTM) { a.Counters.Command = -1 },
		"counters: power_on 0 and command 7":                           func(a *ACRTM) { a.Counters.Command = 7 },
	} {
		p, err := partNamed("MT25QL128ABB")
		must(t, err)
		spoil(p.ACRTM)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), `part "MT25QL128ABB": acrtm: `) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	p, err := partNamed("MT25QL128ABB")
	must(t, err)
	p.RPMC = nil
	if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "acrtm: op1 and op2 are not those of rpmc") {
		t.Errorf("a table without the transport: %v", err)
	}
	// What is just not refused.
	p, err = partNamed("MT25QL128ABB")
	must(t, err)
	a := p.ACRTM
	a.Commands[3].Match[1], a.Commands[3].Max, a.Commands[1].Reply = ByteMatch{15, 7}, 304, a.MaxRead-1
	a.Commands[2].Match = append(a.Commands[2].Match, ByteMatch{15, 8})
	a.Counters.PowerOn, a.Counters.Command = 8, 0
	a.Limit = time.Hour
	must(t, p.Validate())
	if p.Longest() != time.Hour {
		t.Errorf("a chip that is busy with a command is awaited for %v", p.Longest())
	}
	a.Counters = nil
	must(t, p.Validate())
}

// block is a block of the shipped map for the chip of newWire, with a counter as the map has it where it has one.
func acrtmBlock(c *Chip, name string, counter *uint64) Block {
	command := c.part.ACRTM.Command(name)
	b := make([]byte, command.Min)
	for i := range b {
		b[i] = byte(0x5A + i)
	}
	for _, m := range command.Match {
		b[m.At] = m.Value
	}
	if counter != nil {
		binary.BigEndian.PutUint64(b[4:], *counter)
	}
	return Block{ID: DeviceID(c.id[:6]), UID: strings.ToUpper(hex.EncodeToString(c.id[6:])), Bytes: b, Counter: counter}
}
