package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"station/flash"
	"station/ledger"
	"station/provision"
	"station/recipes"
	"station/sim/nor"
	"station/yamltext"
)

func (a *app) run() *cobra.Command {
	var slots, boards, values, unlocks []string
	var operator string
	var scan, resume, simHands, trial bool
	c := &cobra.Command{
		Use:   "run RECIPE {--slot NAME=SERIAL ... | --scan | --resume}",
		Short: "Provision units from a terminal",
		Example: "  station run recipes/locked-boot.yaml --slot 1=GW-000001 --slot 2=GW-000002\n" +
			"  station run recipes/gateway-boot.yaml --slot 1=GW-000003 --value 1.mac=02:00:00:00:00:03\n" +
			"  station run recipes/locked-boot.yaml --slot 1=GW-000004 --sim-board 1=board.chip\n" +
			"  station run recipes/locked-boot.yaml --scan\n" +
			"  station run recipes/locked-boot.yaml --resume",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			scans, err := pairs("--slot", "NAME=SERIAL", slots)
			if err != nil {
				return err
			}
			inserts, err := pairs("--sim-board", "NAME=FILE", boards)
			if err != nil {
				return err
			}
			opens, err := pairs("--unlock", "NAME=FILE", unlocks)
			if err != nil {
				return err
			}
			switch {
			case scan && len(scans)+len(inserts)+len(values)+len(opens) > 0:
				return exit(exitRefused, errors.New("--scan takes slots, serials and values from the scanner: leave --slot, --sim-board, --value and --unlock out"))
			case resume && len(scans)+len(inserts)+len(values)+len(opens) > 0:
				return exit(exitRefused, errors.New("--resume takes slots, serials and values from the runs that are open: leave --slot, --sim-board, --value and --unlock out"))
			case simHands && !scan:
				return exit(exitRefused, errors.New("--sim-hands goes with --scan"))
			case !scan && !resume && len(scans) == 0:
				return exit(exitRefused, errors.New("nothing to do: name a slot and its serial, --slot NAME=SERIAL, or use --scan"))
			}
			for _, p := range scans {
				if err := readable("serial", p.value, longestName); err != nil {
					return err
				}
			}
			if err := readable("--operator", operator, longestName); err != nil {
				return err
			}
			for _, p := range inserts {
				if !slices.ContainsFunc(scans, func(s pair) bool { return s.slot == p.slot }) {
					return exit(exitRefused, fmt.Errorf("--sim-board %s=%s: no --slot %s=SERIAL goes with it", p.slot, p.value, p.slot))
				}
			}
			given, err := slotValues(values, scans)
			if err != nil {
				return err
			}
			sealed, err := readUnlocks(opens, scans)
			if err != nil {
				return err
			}
			recipe, err := loadRecipe(args[0])
			if err != nil {
				return err
			}
			if s, ok := a.atWork(c.Context()); ok {
				if scan || resume {
					return exit(exitRefused, errors.New("a station is at work there: its page takes scans, and finishes what broke off"))
				}
				return a.runThere(c.Context(), s, directOrder(args[0], scans, inserts, given, sealed, trial), operator)
			}
			b, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer b.Close()
			b.offerBackups()
			if err := b.secrets.ready(recipe, b.db, scans); err != nil {
				return err
			}
			if simHands && !b.simulated {
				return exit(exitRefused, errors.New("--sim-hands is for simulated stations; this one is real"))
			}
			if !trial && (scan || len(scans) > 0) { // what is resumed was counted
				if err := a.askServer(c.Context(), b, recipe, scans); err != nil {
					return err
				}
			}
			job := job{recipe: recipe, operator: operator, trial: trial, unlocks: sealed}
			if resume && !scan {
				return a.scan(c.Context(), b, job, false, true, false)
			}
			if err := a.tellOpenRuns(b, scans); err != nil {
				return err
			}
			if scan {
				return a.scan(c.Context(), b, job, true, resume, simHands)
			}
			if err := b.insert(recipe, scans, inserts); err != nil {
				return err
			}
			watch, done := a.watch(c.Context())
			results := a.provision(c.Context(), b, job, scans, given, watch)
			done()
			return a.conclude(results)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&slots, "slot", nil, "`NAME=SERIAL`: the unit with this serial is in this slot; repeat for more slots")
	f.StringArrayVar(&values, "value", nil, "`SLOT.NAME=HEX`: what the unit in this slot brings besides its serial, as hex digits; repeat for more values")
	f.StringArrayVar(&boards, "sim-board", nil, "`NAME=FILE`: insert this board file into the slot instead of the serial's own (simulated stations only)")
	f.StringArrayVar(&unlocks, "unlock", nil, "`NAME=FILE`: the unit in this slot is reworked, and this is its password as the auditor sealed it with \"escrow reseal\"; repeat for more slots")
	f.StringVar(&operator, "operator", cmp.Or(os.Getenv("STATION_OPERATOR"), "unnamed"), "pseudonymous `ID` of who does this, for the ledger")
	f.BoolVar(&scan, "scan", false, "read serials from standard input, one a line as a scanner types them; the next free slot is announced")
	f.BoolVar(&resume, "resume", false, "finish the open runs of this recipe whose boards are in slots, and name all others; with --scan, go on with that")
	f.BoolVar(&simHands, "sim-hands", false, "boards are moved by lines between the scanned ones, 'in SLOT=SERIAL', 'out SLOT', 'wait SLOT', and stay where they are otherwise (simulated stations only)")
	f.BoolVar(&trial, "trial", false, "stop before the first permanent step")
	return c
}

// job is what is the same for all units of a command line.
type job struct {
	recipe        *recipes.Recipe
	operator      string
	authenticated bool // it was checked who that is
	trial         bool
	unlocks       map[string][]byte // by slot: a sealed password
}

// order is the job done to one unit.
func (j job) order(p pair, values map[string]string) provision.Order {
	return provision.Order{Recipe: j.recipe, Serial: p.value, Slot: p.slot, Operator: j.operator, Authenticated: j.authenticated, Values: values, Trial: j.trial, Unlock: j.unlocks[p.slot]}
}

// slotValues sorts SLOT.NAME=HEX by slot. A slot's name may have dots, a value's has none.
func slotValues(in []string, scans []pair) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for _, s := range in {
		where, value, ok := strings.Cut(s, "=")
		dot := strings.LastIndex(where, ".")
		if !ok || dot < 1 || dot == len(where)-1 || value == "" {
			return nil, exit(exitRefused, fmt.Errorf("--value %q: want SLOT.NAME=HEX", s))
		}
		slot, name := where[:dot], where[dot+1:]
		if !slices.ContainsFunc(scans, func(p pair) bool { return p.slot == slot }) {
			return nil, exit(exitRefused, fmt.Errorf("--value %q: no --slot %s=SERIAL goes with it", s, slot))
		}
		if _, twice := out[slot][name]; twice {
			return nil, exit(exitRefused, fmt.Errorf("--value %q: %s is given twice", s, where))
		}
		if out[slot] == nil {
			out[slot] = map[string]string{}
		}
		out[slot][name] = value
	}
	return out, nil
}

// tellOpenRuns says which units an earlier death of the station left open, but for those that are about to be finished.
func (a *app) tellOpenRuns(b *bench, scans []pair) error {
	open, err := b.db.OpenRuns()
	if err != nil {
		return exit(exitError, err)
	}
	open = slices.DeleteFunc(open, func(r ledger.Run) bool {
		return slices.ContainsFunc(scans, func(p pair) bool { return p.value == r.Serial })
	})
	const most = 3 // more would push the prompt of a scan off the screen
	for i, r := range open {
		switch {
		case i == most:
			fmt.Fprintf(a.stderr, "INTERRUPTED: and %d more: `station unit list`\n", len(open)-most)
			return nil
		case r.Quarantined(b.lost):
			printf(a.stderr, "INTERRUPTED: %s, last in slot %s, is in quarantine: put that board back and run %s with the same recipe; what is on its chip decides. Where it is gone: `station unit close`\n", r.Serial, r.Slot, r.Serial)
		case r.Stuck != nil:
			printf(a.stderr, "INTERRUPTED: %s in slot %s waits for a person's decision: %s %s\n", r.Serial, r.Slot, r.Stuck.Message, r.Stuck.Next)
		default:
			printf(a.stderr, "INTERRUPTED: the run of %s in slot %s broke off; put that board back and run %s with the same recipe to finish it\n", r.Serial, r.Slot, r.Serial)
		}
	}
	return nil
}

// pair is a slot and what goes with it, in the order of the command line.
type pair struct{ slot, value string }

func pairs(flag, shape string, in []string) ([]pair, error) {
	var out []pair
	for _, s := range in {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" || value == "" {
			return nil, exit(exitRefused, fmt.Errorf("%s %q: want %s", flag, s, shape))
		}
		if slices.ContainsFunc(out, func(p pair) bool { return p.slot == name }) {
			return nil, exit(exitRefused, fmt.Errorf("%s: slot %q is named twice", flag, name))
		}
		if i := slices.IndexFunc(out, func(p pair) bool { return p.value == value }); i >= 0 {
			return nil, exit(exitRefused, fmt.Errorf("%s: %q cannot be in slots %s and %s at once", flag, value, out[i].slot, name))
		}
		out = append(out, pair{name, value})
	}
	return out, nil
}

func loadRecipe(path string) (*recipes.Recipe, error) {
	r, err := recipes.Load(path)
	if err != nil {
		return nil, exit(exitRefused, fmt.Errorf("this recipe cannot be run; no slot was opened\n%w", err))
	}
	return r, nil
}

// insert puts the simulated boards into their slots, as an operator's hands would.
func (b *bench) insert(recipe *recipes.Recipe, scans, files []pair) error {
	for _, p := range slices.Concat(scans, files) {
		switch {
		case slices.Contains(b.config.excluded(), p.slot):
			return exit(exitRefused, fmt.Errorf("slot %s is excluded: take `excluded` out of its line in config.yaml when it may be used again", p.slot))
		case !slices.Contains(b.config.usable(), p.slot):
			return exit(exitRefused, fmt.Errorf("there is no slot %q; `station slot list` shows them", p.slot))
		}
	}
	if !b.simulated {
		if len(files) > 0 {
			return exit(exitRefused, errors.New("--sim-board is for simulated stations; this one is real"))
		}
		return nil
	}
	for _, p := range scans {
		if !recipe.MatchSerial(p.value) {
			continue // the engine refuses it before it looks into the slot, and nobody has a board with such a label
		}
		var err error
		if i := slices.IndexFunc(files, func(f pair) bool { return f.slot == p.slot }); i >= 0 {
			err = b.boards.InsertFile(p.slot, b.places[p.slot], files[i].value)
		} else {
			err = b.boards.Scan(p.slot, b.places[p.slot], p.value, simulatedPart(recipe.Parts()[0]))
		}
		if err != nil {
			return exit(exitRefused, err)
		}
	}
	return nil
}

// simulatedPart is what the simulator calls a part: a profile of one's own may have another name for the same six bytes of ID.
func simulatedPart(p *flash.Part) string {
	if !p.User {
		return p.Name
	}
	return cmp.Or(nor.PartWithID(p.ID), p.Name)
}

// engine returns the engine of this station. A simulated one has its hands: it reseats the boards that the engine asks for.
func (b *bench) engine(ctx context.Context, watch func(provision.Event)) *provision.Engine {
	o := provision.Options{Software: software(), Watch: watch, Secrets: b.secrets, AllowRaw: b.config.AllowRaw, Mirror: b.db.Mirror, Lost: b.lost, Simulated: b.simulated}
	if b.server != nil {
		o.Signer, o.KeyServer = b.server, b.server.String()
	}
	if b.simulated {
		o.Reseater = "the simulator"
		o.Watch = func(ev provision.Event) {
			watch(ev)
			if ev.Kind == provision.Reseat {
				go b.boards.Reseat(ctx, ev.Slot)
			}
		}
	}
	return provision.New(b.rack, b.db, o)
}

// provision runs one unit in each slot, all at once, and writes the report of each as it ends.
func (a *app) provision(ctx context.Context, b *bench, j job, scans []pair, values map[string]map[string]string, watch func(provision.Event)) []outcome {
	engine := b.engine(ctx, watch)
	return a.atOnce(scans, func(p pair) outcome { return b.provisionOne(ctx, engine, j.order(p, values[p.slot])) })
}

// atOnce runs one unit in each slot, each in a goroutine of its own, to the end of all.
func (a *app) atOnce(scans []pair, one func(pair) outcome) []outcome {
	out := make([]outcome, len(scans))
	var wg sync.WaitGroup
	for i, p := range scans {
		wg.Go(func() {
			defer crashed(a.stderr)
			out[i] = one(p)
		})
	}
	wg.Wait()
	return out
}

// outcome is a result with the report that was written of it.
type outcome struct {
	provision.Result
	report    string // path of the PDF, "" when there is none
	reportErr error
}

func (b *bench) provisionOne(ctx context.Context, engine *provision.Engine, o provision.Order) outcome {
	out := outcome{Result: engine.Run(ctx, o)}
	var p *provision.PanicError
	if errors.As(out.Err, &p) {
		tellPanic(b.stderr, p)
	}
	// What was refused is in the ledger; a report is about a unit, and this was none of ours.
	if out.Index >= 0 && out.Outcome != ledger.Refused {
		out.reportErr = provision.Caught(func() (err error) {
			out.report, err = b.reportUnit(context.WithoutCancel(ctx), o.Serial)
			return err
		})
	}
	return out
}

// reportUnit writes the report of a unit whose run has just ended. A refusal never takes the place of what was done before.
func (b *bench) reportUnit(ctx context.Context, serial string) (string, error) {
	runs, err := b.db.Runs(serial, "")
	if err != nil {
		return "", provenOr(b.db, serial, err)
	}
	if err := os.MkdirAll(reportsDir(b.data), 0o755); err != nil {
		return "", err
	}
	return writeReport(ctx, b.db, reported(runs).ID, filepath.Join(reportsDir(b.data), reportName(serial)))
}

// conclude prints the results and picks the exit code.
func (a *app) conclude(results []outcome) error {
	code := exitDone
	rows := [][]string{{"SLOT", "SERIAL", "OUTCOME", "TIME", "REPORT"}}
	for _, r := range results {
		code = worse(code, exitCode(r.Outcome))
		if exitCode(r.Outcome) != exitDone && !a.json {
			printf(a.stderr, "slot %s, %s: %s: %s\n  %s\n", r.Slot, r.Serial, r.Outcome, r.Message, r.Next)
		}
		if r.reportErr != nil {
			code = worse(code, exitError)
			printf(a.stderr, "slot %s, %s: the report could not be written: %v.%s\n", r.Slot, r.Serial, r.reportErr, writtenAgain(r.Serial, r.reportErr))
		}
		word := string(r.Outcome)
		if r.Already {
			word += " (before)"
		}
		rows = append(rows, []string{r.Slot, r.Serial, word, r.Duration.Round(time.Millisecond).String(), r.report})
	}
	if err := a.printResults(results, rows); err != nil {
		return exit(worse(code, exitError), err)
	}
	if code == exitDone {
		return nil
	}
	return exit(code, nil)
}

func (a *app) printResults(results []outcome, rows [][]string) error {
	if !a.json {
		return a.printTable(rows)
	}
	for _, r := range results {
		if err := a.printLine(resultJSON(r)); err != nil {
			return err
		}
	}
	return nil
}

// longestName is in characters: of a serial, of a person's id.
const longestName = 64

// readable refuses what a terminal, a label or a report could not show: it ends up in the ledger for ever. Signs alone say nothing, and no page has the address of a unit "/" or "..".
func readable(what, s string, longest int) error {
	if s == "" || !utf8.ValidString(s) || utf8.RuneCountInString(s) > longest || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) ||
		!strings.ContainsFunc(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }) {
		return exit(exitRefused, fmt.Errorf("%s %s: want 1 to %d printable characters, a letter or a digit among them", what, yamltext.Quote(s), longest))
	}
	return nil
}

type runJSON struct {
	Slot     string         `json:"slot"`
	Serial   string         `json:"serial"`
	Outcome  ledger.Outcome `json:"outcome"`
	Already  bool           `json:"already"`
	Run      string         `json:"run"`
	UID      string         `json:"uid"`
	Index    int64          `json:"index"`
	Cause    string         `json:"cause"`
	Message  string         `json:"message"`
	Next     string         `json:"next"`
	Started  time.Time      `json:"started"`
	Duration int64          `json:"ms"`
	Report   string         `json:"report"`
	Error    string         `json:"error"` // the whole chain
}

func resultJSON(r outcome) runJSON {
	j := runJSON{r.Slot, r.Serial, r.Outcome, r.Already, r.Run, r.UID, r.Index, r.Cause, r.Message, r.Next, r.Started.UTC(), r.Duration.Milliseconds(), r.report, ""}
	if err := errors.Join(r.Err, r.reportErr); err != nil {
		j.Error = err.Error()
	}
	return j
}

func exitCode(o ledger.Outcome) int {
	switch o {
	case ledger.Pass, ledger.Trial:
		return exitDone
	case ledger.Fail:
		return exitNo
	case ledger.Refused:
		return exitRefused
	case ledger.Aborted:
		return exitAborted
	case ledger.Interrupted:
		return exitDecision
	}
	return exitError
}

// worse is the one of two exit codes that wins.
func worse(a, b int) int {
	order := []int{exitAborted, exitDecision, exitError, exitNo, exitRefused, exitDone}
	if slices.Index(order, a) < slices.Index(order, b) {
		return a
	}
	return b
}
