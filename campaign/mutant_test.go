package campaign

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var mutantsFlag = flag.Bool("mutants", false, "search the seeds for the first that finds each mutant")

// mutant is a deliberate bug: old, which stands once in a file, becomes new. seed is the first that was seen to find it.
type mutant struct {
	name, file, old, new string
	seed                 uint64
}

const (
	engine   = "../provision/engine.go"
	judge    = "../provision/outcome.go"
	secret   = "../provision/secret.go"
	door     = "../provision/interlock.go"
	contents = "../provision/step.go"
	password = "../provision/step_password.go"
	rootKey  = "../provision/step_root_key.go"
	counter  = "../provision/step_counter.go"
	signed   = "../provision/signed_send.go"
	ledgerIO = "../store/append.go"
	identify = "../flash/identify.go"
)

var mutants = []mutant{
	{"the password is sent before its intent", password, `		err = r.commit(ctx, ledger.Change{Bodies: []ledger.Body{intent}, Escrow: map[string][]byte{sealed.ID: text},
`, `		if err := r.chip.ProgramPassword(ctx, &pw); err != nil {
			return err
		}
		err = r.commit(ctx, ledger.Change{Bodies: []ledger.Body{intent}, Escrow: map[string][]byte{sealed.ID: text},
`, 1},
	{"the root key is sent before its escrow", rootKey, `		intent := ledger.RootKeyIntent{`, `		if _, err := k.r.chip.SendRPMC(ctx, append([]byte(nil), packet...), true); err != nil {
			return err
		}
		intent := ledger.RootKeyIntent{`, 1},
	{"what is escrowed is not what is sent", password, `r.seal(p.s.Escrow, secret)`, `r.seal(p.s.Escrow, secret[:7])`, 2},
	{"the counter is incremented without an intent", counter, `			if err := c.r.intend(ctx, what); err != nil {
				return err
			}
`, ``, 2},
	{"the mode is switched without an intent of its own", password, `	if err := r.record(ctx, ledger.ModeIntent{Run: r.id, Serial: r.o.Serial, UID: r.chip.UID(), Mode: "password"}); err != nil {
		return err
	}
	if err := r.chip.ProgramSectorProtection(ctx, flash.PasswordMode); err != nil {
		return err
	}
`, `	if err := r.chip.ProgramSectorProtection(ctx, flash.PasswordMode); err != nil {
		return err
	}
	if err := r.record(ctx, ledger.ModeIntent{Run: r.id, Serial: r.o.Serial, UID: r.chip.UID(), Mode: "password"}); err != nil {
		return err
	}
`, 1},
	{"an intent that could not be committed is taken for one", secret, `	if err != nil {
		return &stationError{"ledger", err}
	}
	r.books = append(r.books, c.Bodies...)
	return nil
}

func (r *run) record(`, `	r.books = append(r.books, c.Bodies...)
	return nil
}

func (r *run) record(`, 3},
	{"an intent that the mirror lacks is taken for one", secret, `		if first > 0 { // it stands in the ledger, and the run stays open for it
			r.books = append(r.books, c.Bodies...)
		}
`, `		if first > 0 {
			r.books = append(r.books, c.Bodies...)
			return nil
		}
`, 40},
	{"a ledger goes on after a failed commit", ledgerIO, `		d.broken = err
`, ``, 3},
	{"any password that reads back is ours", password, `	if !ours {`, `	if !ours && false {`, 67},
	{"PASS without its entry", engine, `		if jerr != nil {`, `		if jerr != nil && end.Outcome != ledger.Pass {`, 70},
	{"the tag is in the ledger", password, `{Name: "mode", Value: "password, for ever"}`, `{Name: "mode", Value: fmt.Sprintf("%x", func() []byte { tag, _ := p.r.tag(p.intent.UID, p.intent.Escrow.ID, nil); return tag }())}`, 1},
	{"a counter is incremented without a look at it", counter, `		c.value, err = c.read(ctx, hmacKey)
		return err
	})
}
`, `		c.value = c.rpmc.Initial
		return nil
	})
}
`, 1},
	{"a resumed run installs its root key again", rootKey, `	if k.intent != nil {
		if`, `	if false {
		if`, 4},
	{"a root key that is refused is sent again", rootKey, `			if try < attempts {
				continue
			}
`, `			k.intent = nil
			return nil
`, 154},
	{"a password that was sent is drawn anew", password, `	if p.intent != nil && p.r.chip.Part().Blank(&told) {
		if err := p.void(ctx); err != nil {
			return err
		}
	}
`, `	if p.intent != nil && p.r.chip.Part().Blank(&told) {
		p.intent = nil
	}
`, 3},
	{"a run with an intent is settled", engine, `	return r.started && r.permit != 0 || slices.ContainsFunc(r.books, ledger.Permanent)
`, `	return r.started && r.permit != 0
`, 1},
	{"an open run is begun anew", door, `		a.open = last
`, ``, 2},
	{"a chip is condemned without another look at its contact", judge, `	if v.outcome != ledger.Fail || r.chip == nil {`, `	if true {`, 182},
	{"a serial may move to another chip", door, `	case had != uid && (unused == nil || unused.Chip != ledger.NewChip):`, `	case had != uid && unused == nil:
		return nil
	case had != uid && (unused == nil || unused.Chip != ledger.NewChip):`, 1},
	{"a chip may get another serial", door, `		case r.Serial != o.Serial && chip == uid:`, `		case false:`, 25},
	{"the chip is not asked who it is", identify, `	if c.before == c.id && c.after == c.id {`, `	if true {`, 143},
	{"what is written is not read back", contents, `	known, err := c.r.chip.Compare(ctx, left, c.r.progress("verifying"))
`, `	if true {
		return p, nil
	}
	known, err := c.r.chip.Compare(ctx, left, c.r.progress("verifying"))
`, 214},
	{"a refused write is not asked for", "../provision/step_check.go", `			if err := c.r.chip.ProbeLocked(ctx, at); err != nil {
				return p, err
			}
`, ``, 6},
	{"a run that is open is not known at the next start", "../store/index.go", `		err = r.put(bucketOpenRuns, number(row.First), []byte(run))
`, ``, 1},
	{"what a run held is never let go", engine, `	delete(e.held, what)
`, ``, 1},
}

// signedMutants are found by stories of units that a key server signs for.
var signedMutants = []mutant{
	{"a one-way command that took effect is asked for again", signed, `len(c.took[o.command.Name]) > 0 {`, `false {`, 4},
	{"a turn that was cut off is taken for not executed", "../provision/signed_settle.go", `		case executed > 0:`, `		case false:`, 9},
	{"a turn is sent before its intent", signed, `	if changes {
		if err := r.record(`, `	if changes {
		r.chip.RelayStateChanging(ctx, orders[0].Block.Block, c.allow)
		if err := r.record(`, 1},
	{"a block whose answer was lost is sent again", signed, `		a, err = c.unsuccessful(ctx, o, a, err)
`, `		relay(ctx, block)
		a, err = c.unsuccessful(ctx, o, a, err)
`, 34},
}

// Where the source of a mutant was changed, the mutant has to be put elsewhere.
func TestMutantsHaveTheirPlaces(t *testing.T) {
	text := "| bug | in | found by seed |\n|---|---|---|\n"
	for _, m := range slices.Concat(mutants, signedMutants) {
		m.place(t)
		text += fmt.Sprintf("| %s | `%s` | %d |\n", m.name, strings.TrimPrefix(m.file, "../"), m.seed)
	}
	section(t, "mutants", text)
}

// place is the file of a mutant, and its source with the mutant in.
func (m mutant) place(t *testing.T) (file, source string) {
	t.Helper()
	file, err := filepath.Abs(m.file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		t.Errorf("%s: %q stands %d times in %s, want once", m.name, m.old, n, m.file)
	}
	return file, strings.Replace(string(text), m.old, m.new, 1)
}

// build builds these tests with a mutant in.
func (m mutant) build(t *testing.T) (binary string) {
	t.Helper()
	file, source := m.place(t)
	dir := t.TempDir()
	with := filepath.Join(dir, filepath.Base(file))
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{file: with}})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	binary = filepath.Join(dir, "campaign.test")
	for path, text := range map[string]string{with: source, overlay: string(replace)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay="+overlay, "-o="+binary).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

var foundBy = regexp.MustCompile(`--- FAIL: TestCampaign/([0-9]+) `)

// plays seeds from first on and returns the first that finds the mutant, and what it found.
func (m mutant) plays(t *testing.T, binary string, signed bool, first, seeds uint64) (seed, found string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary, "-test.run=^TestCampaign$", "-test.timeout=20m", "-stop", fmt.Sprintf("-first=%d", first), fmt.Sprintf("-seeds=%d", seeds), fmt.Sprintf("-signed=%t", signed)).CombinedOutput()
	if err == nil {
		return "", ""
	}
	which := foundBy.FindStringSubmatch(string(out))
	if which == nil {
		t.Fatalf("no seed failed, so this shows nothing:\n%s", out)
	}
	_, found, _ = strings.Cut(string(out), "campaign_test.go:")
	found, _, _ = strings.Cut(found, "\n")
	return which[1], found
}

// otherSeeds are tried where the recorded one has lost its bug.
const otherSeeds = 100

// Each of these bugs is found by the seed that its row names; with -mutants, by whichever of the first thousand finds it first.
func TestMutants(t *testing.T) {
	if testing.Short() || raced {
		t.Skip("builds the campaign once for each mutant")
	}
	for i, m := range slices.Concat(mutants, signedMutants) {
		signed := i >= len(mutants)
		t.Run(m.name, func(t *testing.T) {
			first, seeds := m.seed, uint64(1)
			if *mutantsFlag {
				first, seeds = 1, 1000
			} else {
				t.Parallel()
			}
			binary := m.build(t)
			seed, found := m.plays(t, binary, signed, first, seeds)
			if seed == "" && !*mutantsFlag {
				// The shipped code was changed, and the seed has another story now.
				if seed, found = m.plays(t, binary, signed, 1, otherSeeds); seed != "" {
					t.Logf("seed %d finds it no more: make mutants", m.seed)
				}
			}
			if seed == "" {
				t.Errorf("neither %d seeds from %d on find it, nor others", seeds, first)
			}
			t.Logf("seed %s: %s", seed, found)
		})
	}
}
