package provision

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"station/flash"
	"station/ledger"
	"station/recipes"
	"station/sim/nor"
)

// oracle is a Signer that keeps its keys to itself: a second reading of docs/acrtm-invented.md, with commands for each step of signedSteps.
type oracle struct {
	mu     sync.Mutex
	steps  map[int][]signedOp
	turn   int                                    // blocks of a turn at the most
	talks  map[string]*talk                       // by run and step
	told   int                                    // turns that it told
	spoil  func(n int, job Job, turn *Turn) error // before the n-th of all turns is told
	peek   *nor.Chip                              // whose counters it knows where it is not told
	heard  func(job Job, answered []Answered)     // what it was told
	blocks map[string]string                      // command and address by SHA-256: all that it made
}

// signedOp is one command that a step comes to.
type signedOp struct {
	name  string
	at, n uint32
	data  []byte
	from  int // where to go on when its answer was lost
	one   bool
}

type talk struct {
	session string
	at      int
	seq     int
	made    [][]madeBlock // by turn
	refused int
	failed  string
	digest  string
}

type madeBlock struct {
	op, seq int
	block   []byte
	key     []byte
	nonce   []byte
}

var inventedNames = map[string]string{"measure": "\xF0\x01", "write": "\xF1\x00", "erase": "\xF1\x01", "protect": "\xF2\x00"}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(bytes.Join(parts, nil))
	return h.Sum(nil)
}

func be64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// block is that of an op for a chip with these counters.
func (op signedOp) block(uid string, powerOn, counter uint64, nonce []byte) (block, key []byte) {
	raw, err := hex.DecodeString(uid)
	if err != nil {
		panic(err)
	}
	factory := sha256.Sum256([]byte("station simulated factory key"))
	key = mac(mac(factory[:], raw), be64(powerOn))
	payload := be32(op.at)
	switch op.name {
	case "measure":
		payload = append(append(payload, be32(op.n)...), nonce...)
	case "protect":
		payload = append(payload, be32(op.n)...)
	case "write":
		payload = append(payload, op.data...)
	}
	block = append([]byte(inventedNames[op.name]), byte(len(payload)>>8), byte(len(payload)))
	block = append(append(block, be64(counter)...), payload...)
	return append(block, mac(key, block)...), key
}

// check holds a reply against the chip's signature.
func (op signedOp) check(m madeBlock, counter uint64, reply []byte) (digest string, err error) {
	after := be64(counter)
	var want []byte
	if op.name == "measure" {
		if len(reply) != 72 {
			return "", fmt.Errorf("%d bytes", len(reply))
		}
		want = mac(m.key, []byte(inventedNames[op.name]), m.nonce, after, be32(op.at), be32(op.n), reply[8:40])
		digest = hex.EncodeToString(reply[8:40])
	} else {
		after = be64(counter + 1)
		sum := sha256.Sum256(m.block)
		want = mac(m.key, []byte(inventedNames[op.name]), after, sum[:])
	}
	if !bytes.HasPrefix(reply, after) || !hmac.Equal(want, reply[len(reply)-32:]) {
		return "", fmt.Errorf("not signed by this chip")
	}
	return digest, nil
}

func hashText(block []byte) string {
	sum := sha256.Sum256(block)
	return hex.EncodeToString(sum[:])
}

func (o *oracle) Next(_ context.Context, job Job, answered []Answered) (Turn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.heard != nil {
		o.heard(job, answered)
	}
	name := fmt.Sprint(job.Run, job.Step)
	t := o.talks[name]
	if len(answered) == 0 {
		t = &talk{session: fmt.Sprintf("talk-%d", len(o.talks)+1+o.told), seq: 1}
		o.talks[name] = t
	} else {
		t.hear(o.steps[job.Step], answered[len(answered)-1], job.Counter, o.blocks)
	}
	turn := Turn{Session: t.session, Number: len(answered) + 1}
	ops := o.steps[job.Step]
	switch {
	case t.failed != "":
		turn.Done, turn.Verdict, turn.Digest = true, t.failed, t.digest
	case t.at == len(ops):
		turn.Done, turn.OK, turn.Verdict, turn.Digest = true, true, "all of it is done", t.digest
	default:
		var made []madeBlock
		if job.Counter == nil {
			powerOn, command := o.peek.PowerOnCounter(), o.peek.CommandCounter()
			job.PowerOn, job.Counter = &powerOn, &command
		}
		counter := *job.Counter
		for i := t.at; i < len(ops) && len(made) < o.turn && (len(made) == 0 || !ops[i].one); i++ {
			nonce := sha256.Sum256(fmt.Append(nil, t.session, t.seq, len(answered)))
			m := madeBlock{op: i, seq: t.seq, nonce: nonce[:16]}
			m.block, m.key = ops[i].block(job.UID, *job.PowerOn, counter, m.nonce)
			at := counter
			o.blocks[hashText(m.block)] = fmt.Sprint(ops[i].name, ops[i].at)
			turn.Blocks = append(turn.Blocks, Block{Seq: m.seq, Block: flash.Block{ID: job.ID, UID: job.UID, Bytes: m.block, Counter: &at}})
			made = append(made, m)
			t.seq++
			if ops[i].name == "measure" || ops[i].one {
				break
			}
			counter++
		}
		t.made = append(t.made, made)
	}
	o.told++
	if o.spoil != nil {
		if err := o.spoil(o.told, job, &turn); err != nil {
			return Turn{}, err
		}
	}
	return turn, nil
}

// hear takes the answers to the newest turn in. A one-way command may have taken effect by an earlier one of all blocks.
func (t *talk) hear(ops []signedOp, answered Answered, counter *uint64, blocks map[string]string) {
	made := t.made[len(t.made)-1]
	for i, a := range answered.Answers {
		m := made[i]
		op := ops[m.op]
		earlier := a.Lost && op.one && a.Executed && blocks[a.SHA256] == fmt.Sprint(op.name, op.at)
		switch {
		case a.Seq != m.seq || a.SHA256 != hashText(m.block) && !earlier:
			t.failed = "answered another block"
		case a.Lost && op.one && a.Executed && a.SHA256 == hashText(m.block) && counter != nil && *counter <= binary.BigEndian.Uint64(m.block[4:]):
			t.failed = "told by a counter that has not moved"
		case a.Lost && op.one && a.Executed:
			t.at = m.op + 1
		case a.Lost:
			t.at = op.from
		case a.Status != 0x80:
			if t.refused++; t.refused > 1 {
				t.failed = fmt.Sprintf("%s answered %02X", op.name, a.Status)
			}
			t.at = m.op
		default:
			digest, err := op.check(m, binary.BigEndian.Uint64(m.block[4:]), a.Reply)
			if err != nil {
				t.failed = err.Error()
				return
			}
			t.at = m.op + 1
			if op.name == "measure" {
				if t.digest = digest; digest != hex.EncodeToString(op.data) {
					t.failed = "the region holds something else"
				}
			}
		}
	}
}

const settingsAt, settingsSize = 0x40000, 4 << 10

// signedRecipeSteps write a region without reading it, have the chip measure it, write another one by signed commands, and shut the first for ever.
const signedRecipeSteps = `  - write: {region: boot, image: boot, verify: measurement}
  - measure: {region: boot}
  - relay: {job: settings, access: state-changing, commands: [erase, write], region: settings, image: settings}
  - relay: {job: shut, access: state-changing, commands: [protect], region: boot}
permanent: [relay]
`

// settings are 600 bytes: two whole pages and a part of a third.
func settings() []byte { return image()[:600] }

func newOracle() *oracle {
	o := &oracle{turn: 2, talks: map[string]*talk{}, blocks: map[string]string{}}
	page := func(i int) []byte {
		p := bytes.Repeat([]byte{0xFF}, 256)
		copy(p, settings()[i*256:])
		return p
	}
	boot, err := hex.DecodeString(regionDigest(image(), 128<<10))
	if err != nil {
		panic(err)
	}
	o.steps = map[int][]signedOp{
		2: {{name: "measure", at: 0x10000, n: 128 << 10, data: boot}},
		3: {{name: "erase", at: settingsAt}, {name: "write", at: settingsAt, data: page(0)}, {name: "write", at: settingsAt + 256, data: page(1)}, {name: "write", at: settingsAt + 512, data: page(2)}},
		4: {{name: "protect", at: 0x10000, n: 128 << 10, one: true}},
	}
	return o
}

func signedRecipe(t testing.TB, steps string) *recipes.Recipe {
	t.Helper()
	return twoImages(t, "MT25QL128ABB", steps)
}

func newSignedLine(t *testing.T, o *oracle) *line {
	return newLine(t, Options{Secrets: newVault(), Signer: o, Simulated: true})
}

// reconcileSigned holds a passed chip against what the recipe wants of it.
func reconcileSigned(t *testing.T, l *line, chip *nor.Chip) {
	t.Helper()
	if got := chip.Bytes(settingsAt, settingsSize); !bytes.Equal(got[:600], settings()) || !bytes.Equal(got[600:], bytes.Repeat([]byte{0xFF}, settingsSize-600)) {
		t.Error("the chip does not hold the settings and a blank rest")
	}
	if got := chip.Bytes(0x10000, 128<<10); !bytes.Equal(got[:20<<10], image()) {
		t.Error("the chip does not hold the image")
	}
	if at, n := chip.ProtectedRange(); at != 0x10000 || n != 128<<10 || chip.Counters()[nor.CountProtect] != 1 {
		t.Errorf("protected is 0x%X, %d bytes, by %d commands", at, n, chip.Counters()[nor.CountProtect])
	}
	c := chip.Counters()
	if n := c[nor.CountSignedWrite] + c[nor.CountSignedErase] + c[nor.CountProtect]; n != chip.CommandCounter() {
		t.Errorf("the command counter is %d after %d commands", chip.CommandCounter(), n)
	}
	runs := l.books.all()
	end := runs[len(runs)-1].End
	if end == nil {
		t.Fatal("no end")
	}
	proofs := map[string]string{}
	for _, p := range end.Proven {
		proofs[p.Region] = p.Proof
	}
	if proofs["settings"] != "readback" || proofs["boot"] != "measurement" && proofs["boot"] != "readback, measurement" {
		t.Errorf("proven by %v", proofs)
	}
}

func countSigned(run ledger.Run) string {
	return fmt.Sprintf("%d intents and %d answers", count[ledger.RelayIntent](run), count[ledger.RelayAnswer](run))
}

// withoutCounters is a part whose table does not tell how its counters are read.
const withoutCounters = "MT25QL128ABX"

// twoImages is a recipe with a second region and its image.
func twoImages(t testing.TB, part, steps string) *recipes.Recipe {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(head, 1, part, regionDigest(image(), int64(len(image()))))
	text = strings.Replace(text, "regions:\n", fmt.Sprintf("  settings: {file: settings.bin, sha256: %q}\nregions:\n  settings: {at: 0x40000, size: 4KiB}\n", regionDigest(settings(), 600)), 1) + steps
	if part == withoutCounters {
		profile, err := os.ReadFile("../flash/parts/MT25QL128ABB.yaml")
		if err != nil {
			t.Fatal(err)
		}
		profile = regexp.MustCompile("\n  counters: {block[^\n]*").ReplaceAll(bytes.Replace(profile, []byte("MT25QL128ABB"), []byte(part), 1), nil)
		if err := errors.Join(os.Mkdir(filepath.Join(dir, "parts"), 0o755), os.WriteFile(filepath.Join(dir, "parts", "own.yaml"), profile, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string][]byte{"boot.bin": image(), "settings.bin": settings(), "small.yaml": []byte(text)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, err := recipes.Load(filepath.Join(dir, "small.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
