package campaign

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"station/flash"
	"station/keyserver"
	"station/ledger"
	"station/provision"
	"station/recipes"
	"station/sim/nor"
)

// signedWork is a recipe whose chip is measured, written and shut by signed commands, on the campaign's own part with the invented map.
func signedWork(t testing.TB) *work {
	k := &work{part: "MT25QL128ABB", size: 1 << 20, serial: "C-%d", image: make([]byte, 64<<10), bootAt: 0x10000, bootSize: 128 << 10, identityAt: 0xF0000, settings: make([]byte, 700)}
	rand.NewChaCha8([32]byte{1}).Read(k.image[:40<<10])
	rand.NewChaCha8([32]byte{2}).Read(k.settings)
	dir := k.equip(t, "line/root")
	small, err := os.ReadFile("testdata/parts/small.yaml")
	full, err2 := os.ReadFile("../flash/parts/MT25QL128ABB.yaml")
	text, err3 := os.ReadFile("testdata/signed.yaml")
	table := regexp.MustCompile(`(?s)\nacrtm:.*?\n(assumed:)`).FindSubmatch(full)
	if err := errors.Join(err, err2, err3); err != nil || table == nil {
		t.Fatal("no table: ", err)
	}
	profile := strings.Replace(string(small), "\nassumed: [", strings.TrimSuffix(string(table[0]), "assumed:")+"assumed: [acrtm, ", 1)
	folder, path := filepath.Join(dir, recipes.PartsFolder), filepath.Join(dir, "campaign.yaml")
	err = errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, "small.yaml"), []byte(profile), 0o600), os.WriteFile(filepath.Join(dir, "boot.bin"), k.image, 0o600),
		os.WriteFile(filepath.Join(dir, "settings.bin"), k.settings, 0o600), os.WriteFile(path, fmt.Appendf(nil, string(text), sha256.Sum256(k.image), sha256.Sum256(k.settings)), 0o600))
	if err == nil {
		k.recipe, err = recipes.Load(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// keyServer signs for every board of a line. Now and then it does not answer.
type keyServer struct {
	w     *world
	maker keyserver.Invented
	talks map[string]*talk // by run and step
}

// talk is a conversation about one step.
type talk struct {
	ops    []keyserver.Op
	want   []byte // of a measurement
	at     int
	made   []made
	seq    int
	asked  int
	failed string
	digest string
}

type made struct {
	op    int
	at    keyserver.Point
	block []byte
}

// secretOf is the chip's (docs/acrtm-invented.md).
func secretOf(uid string) []byte {
	factory := sha256.Sum256([]byte("station simulated factory key"))
	raw, _ := hex.DecodeString(uid)
	h := hmac.New(sha256.New, factory[:])
	h.Write(raw)
	return h.Sum(nil)
}

const keyServerFails = "key server does not answer"

func (k *keyServer) Next(_ context.Context, job provision.Job, answered []provision.Answered) (provision.Turn, error) {
	w := k.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead.Load() {
		return provision.Turn{}, errDead
	}
	t := k.talks[fmt.Sprint(job.Run, job.Step)]
	if len(answered) == 0 {
		ops, want, err := k.plan(job.Step)
		if err != nil {
			return provision.Turn{}, err
		}
		asked := 0
		if t != nil {
			asked = t.asked
		}
		t = &talk{ops: ops, want: want, asked: asked}
		k.talks[fmt.Sprint(job.Run, job.Step)] = t
	} else {
		k.hear(t, secretOf(job.UID), answered[len(answered)-1].Answers)
	}
	t.asked++
	if s := w.slotOf(job.Serial); w.faulty && t.asked == 2 && (int(w.seed)+s.n+job.Step)%11 == 0 {
		s.hit = true
		w.faults[keyServerFails]++
		return provision.Turn{}, errors.New("no answer")
	}
	turn := provision.Turn{Session: "s", Number: len(answered) + 1, Digest: t.digest, Verdict: t.failed}
	if t.failed != "" || t.at == len(t.ops) {
		turn.Done, turn.OK = true, t.failed == ""
		return turn, nil
	}
	t.made = nil
	at := keyserver.Point{PowerOn: *job.PowerOn, Counter: *job.Counter, Nonce: [16]byte{byte(t.asked), byte(job.Step)}}
	for i := t.at; i < len(t.ops) && len(t.made) < 24 && (i == t.at || !t.ops[i].OneWay); i++ {
		block, counter := k.maker.Block(secretOf(job.UID), t.ops[i], at), at.Counter
		t.made = append(t.made, made{i, at, block})
		t.seq++
		turn.Blocks = append(turn.Blocks, provision.Block{Seq: t.seq, Block: flash.Block{ID: job.ID, UID: job.UID, Bytes: block, Counter: &counter}})
		if t.ops[i].OneWay || !t.ops[i].Changes {
			break
		}
		at.Counter++
	}
	return turn, nil
}

// plan is what a step of the recipe comes to.
func (k *keyServer) plan(step int) ([]keyserver.Op, []byte, error) {
	var of keyserver.Step
	var content []byte
	switch s := k.w.recipe.Steps()[step-1].(type) {
	case recipes.Measure:
		of, content = keyserver.Step{Commands: []string{"measure"}, At: s.Region.At, Size: s.Region.Size}, k.w.boot()
	case recipes.Relay:
		of, content = keyserver.Step{Commands: s.Commands, At: s.Region.At, Size: s.Region.Size, Image: "settings"}, padded(k.w.settings, identitySize)
	}
	sum := sha256.Sum256(content)
	ops, err := k.maker.Ops(of, content)
	return ops, sum[:], err
}

func (k *keyServer) hear(t *talk, secret []byte, answers []provision.Answer) {
	for i, a := range answers {
		m := t.made[i]
		op := t.ops[m.op]
		switch {
		case a.Lost && op.OneWay && a.Executed:
			t.at = m.op + 1
		case a.Lost:
			t.at = op.From
		case a.Status != 0x80:
			t.failed = fmt.Sprintf("%s answered %02X", op.Command, a.Status)
		default:
			measured, err := k.maker.Check(secret, op, m.at, m.block, a.Reply)
			if t.at = m.op + 1; err != nil {
				t.failed = err.Error()
			} else if measured != nil {
				if t.digest = hex.EncodeToString(measured); !slices.Equal(measured, t.want) {
					t.failed = "the region holds something else"
				}
			}
		}
	}
}

// hearsBlock is a signed block at the chip's pins: one that is whole has a durable intent of its own, in which its digest stands.
func (b *board) hearsBlock(block []byte) {
	if len(block) != map[string]int{"\xF1\x00": 304, "\xF1\x01": 48, "\xF2\x00": 52}[string(block[:2])] {
		return // cut off: it has no effect
	}
	sum := sha256.Sum256(block)
	b.w.spend(b, fmt.Sprintf("9B %X", block[:2]), func(i *intent) bool { return i.kind == ledger.KindRelayIntent && i.what == hex.EncodeToString(sum[:]) })
}

// blocksOf are the intents of a turn, one for each block that changes the chip.
func blocksOf(b ledger.Body) (out []*intent) {
	if b, is := b.(ledger.RelayIntent); is {
		for _, x := range b.Blocks {
			if x.Class == ledger.StateChanging {
				out = append(out, &intent{kind: b.Kind(), uid: b.UID, what: x.SHA256})
			}
		}
	}
	return out
}

// checkSigned holds the chip of a unit that passes against what signed commands are to have done, each of them once.
func (b *board) checkSigned(must func(ok bool, what string)) {
	if b.w.settings == nil {
		return
	}
	at, size := b.chip.ProtectedRange()
	must(int(at) == b.w.bootAt && int(size) == b.w.bootSize, "the protected range")
	n := b.chip.Counters()
	must(n[nor.CountProtect] == 1, "how often it was protected")
	must(n[nor.CountSignedErase]+n[nor.CountSignedWrite]+n[nor.CountProtect] == b.chip.CommandCounter(), "the command counter")
}

// Stories of units that are measured, written and shut by signed commands, with every fault of the other stories and a key server that does not always answer.
func TestSignedStories(t *testing.T) {
	of := signedWork(t)
	seeds := uint64(60)
	if testing.Short() || raced {
		seeds = 10
	}
	faults, ends := map[string]int{}, map[string]int{}
	for seed := uint64(1); seed <= seeds; seed++ {
		o := play(t, seed, of)
		if len(o.bad) > 0 {
			t.Errorf("seed %d: %s\nTo repeat it: go test ./campaign -v -run 'TestCampaign$' -signed -seed %d\n%s", seed, strings.Join(o.bad, "\n"), seed, o.story)
		}
		add(faults, o.faults)
		add(ends, o.ends)
	}
	t.Logf("faults:\n%sresults:\n%s", table(faults), table(ends))
	if seeds == 60 && (faults[keyServerFails] == 0 || ends["PASS"] == 0 || ends["ERROR key-server"] == 0) {
		t.Errorf("too little happened: %v %v", faults, ends)
	}
}
