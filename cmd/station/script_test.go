package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	bolt "go.etcd.io/bbolt"

	"station/sim/nor"
	"station/store"
)

var update = flag.Bool("update", false, "write the golden files and scripts anew; read them before you commit them")

// TestScripts are stories of what people do with the program: testdata/script/*.txt. Each begins in a directory with
// the recipes and a configuration with escrow groups, escrow.yaml, and most end with what the auditor does.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("ESC", "\x1b") // what no name may have
			profile, err := filepath.Abs("../../flash/parts/MT25QL256ABA.yaml")
			if err != nil {
				return err
			}
			env.Setenv("PROFILE", profile)
			return errors.Join(writeRecipe(env.WorkDir), writeConfig(env.WorkDir, "escrow.yaml"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"mask":    mask,
			"board":   board,
			"spi":     spiFrames,
			"power":   power,
			"fed":     fed,
			"look":    look,
			"tamper":  tamper,
			"hold":    hold,
			"secret":  secret,
			"waitfor": waitFor,
		},
	})
}

// never is for commands that cannot be negated, and want is how many arguments they have at least.
func never(ts *testscript.TestScript, neg bool, args []string, want int, usage string) {
	if neg || len(args) < want {
		ts.Fatalf("usage: %s", usage)
	}
}

// exits runs a command that has to end with this code: exits CODE COMMAND ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	never(ts, neg, args, 2, "exits CODE COMMAND ARG...")
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		code = exited.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit %d, want %s", code, args[0])
	}
}

// volatile are the keys of JSON output whose values differ from run to run or with the version of the program.
var volatile = []string{"run", "index", "time", "started", "ms", "leaf", "root", "last", "key", "checkpoint_key", "software", "go", "digest", "sfdp", "assumed", "checkpoints"}

// mask makes JSON comparable: mask FILE OUT writes FILE's documents indented, with what differs from run to run as "*".
// FILE may be stdout.
func mask(ts *testscript.TestScript, neg bool, args []string) {
	never(ts, neg, args, 2, "mask FILE OUT")
	var out bytes.Buffer
	for dec := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0]))); ; {
		var doc any
		if err := dec.Decode(&doc); err == io.EOF {
			break
		} else if err != nil {
			ts.Fatalf("%s is no JSON: %v", args[0], err)
		}
		text, err := json.MarshalIndent(masked(doc), "", "  ")
		ts.Check(err)
		fmt.Fprintf(&out, "%s\n", text)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), out.Bytes(), 0o644))
}

func masked(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if slices.Contains(volatile, key) {
				v[key] = "*"
			} else {
				v[key] = masked(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = masked(v[i])
		}
	}
	return v
}

// board makes a factory-blank board: board FILE PART
func board(ts *testscript.TestScript, neg bool, args []string) {
	never(ts, neg, args, 2, "board FILE PART")
	uid := sha256.Sum256([]byte(args[0]))
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[0])), 0o755))
	chip, err := nor.Create(ts.MkAbs(args[0]), args[1], [14]byte(uid[:]), nor.Options{})
	ts.Check(err)
	ts.Check(chip.Close())
}

func open(ts *testscript.TestScript, file string) *nor.Chip {
	chip, err := nor.Open(ts.MkAbs(file), nor.Options{})
	ts.Check(err)
	return chip
}

// spiFrames is a bench tool in other hands: spi FILE HEX... sends frames to a board, each one assertion of chip select.
func spiFrames(ts *testscript.TestScript, neg bool, args []string) {
	never(ts, neg, args, 2, "spi FILE HEX...")
	chip := open(ts, args[0])
	for _, text := range args[1:] {
		frame, err := hex.DecodeString(text)
		ts.Check(err)
		chip.Select()
		chip.Shift(frame, nil)
		chip.Deselect()
	}
	ts.Check(chip.Close())
}

// power takes a board's supply away and gives it back: power FILE
func power(ts *testscript.TestScript, neg bool, args []string) {
	never(ts, neg, args, 1, "power FILE")
	chip := open(ts, args[0])
	chip.Power(false)
	chip.Power(true)
	ts.Check(chip.Close())
}

// fed wants a board to have power or none: fed FILE on|off
func fed(ts *testscript.TestScript, neg bool, args []string) {
	never(ts, neg, args, 2, "fed FILE on|off")
	chip := open(ts, args[0])
	if on := chip.Powered(); on != (args[1] == "on") {
		ts.Fatalf("%s: powered %v", args[0], on)
	}
	ts.Check(chip.Close())
}

// look writes down what a board holds: look FILE OUT
func look(ts *testscript.TestScript, neg bool, args []string) {
	never(ts, neg, args, 2, "look FILE OUT")
	chip := open(ts, args[0])
	var locked []int
	for s := range chip.Size() >> 16 {
		if chip.LockedNonvolatile(s) {
			locked = append(locked, s)
		}
	}
	text := fmt.Sprintf("part %s\nuid %X\narray %x\nlocked sectors %v\neffects %v\n", chip.Part(), chip.UID(),
		sha256.Sum256(chip.Bytes(0, chip.Size())), locked, chip.Counters())
	ts.Check(chip.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o644))
}

// tamper changes text inside of one entry behind the program's back: tamper FILE INDEX OLD NEW
func tamper(ts *testscript.TestScript, neg bool, args []string) {
	never(ts, neg, args, 4, "tamper FILE INDEX OLD NEW")
	index, err := strconv.ParseUint(args[1], 10, 64)
	ts.Check(err)
	db, err := bolt.Open(ts.MkAbs(args[0]), 0o600, nil)
	ts.Check(err)
	ts.Check(db.Update(func(tx *bolt.Tx) error {
		entries, key := tx.Bucket([]byte("entries")), binary.BigEndian.AppendUint64(nil, index)
		before := entries.Get(key)
		after := bytes.Replace(before, []byte(args[2]), []byte(args[3]), 1)
		if bytes.Equal(before, after) {
			return fmt.Errorf("entry %d holds no %q: %s", index, args[2], before)
		}
		return entries.Put(key, after)
	}))
	ts.Check(db.Close())
}

// hold is another process that has the ledger open, until the command given ends: hold reading|writing FILE CODE COMMAND ARG...
func hold(ts *testscript.TestScript, neg bool, args []string) {
	never(ts, neg, args, 4, "hold reading|writing FILE CODE COMMAND ARG...")
	var held io.Closer
	var err error
	if args[0] == "reading" {
		held, err = store.OpenReadOnly(ts.MkAbs(args[1]))
	} else {
		held, err = bolt.Open(ts.MkAbs(args[1]), 0o600, nil)
	}
	ts.Check(err)
	defer held.Close()
	exits(ts, false, args[2:])
}

// waitFor waits for a file that a program in the background makes: waitfor FILE
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	never(ts, neg, args, 1, "waitfor FILE")
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s was not made within %s", args[0], limit)
}

// secret looks for the private key everywhere but in keys/: secret DATA
func secret(ts *testscript.TestScript, neg bool, args []string) {
	never(ts, neg, args, 1, "secret DATA")
	if found := leaks(ts.MkAbs(args[0]), []byte(ts.ReadFile("stdout")+ts.ReadFile("stderr"))); found != nil {
		ts.Fatalf("%v", found)
	}
}

// TestBadConfigs: what the person who writes a configuration sees for each mistake, word for word. Each file in
// testdata/badconfig says in its first line what is wrong with it.
func TestBadConfigs(t *testing.T) {
	t.Chdir("testdata/badconfig") // so that messages name the bare file
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d bad configurations, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			c := exec.CommandContext(ctx, "station", "--config", file, "slot", "list")
			c.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "STATION_") })
			var stdout, stderr bytes.Buffer
			c.Stdout, c.Stderr = &stdout, &stderr
			if err := c.Run(); c.ProcessState.ExitCode() != exitRefused || stdout.Len() > 0 {
				t.Errorf("%v, want exit %d and nothing on stdout: %s", err, exitRefused, &stdout)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, stderr.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got := stderr.String(); got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
	if left, _ := filepath.Glob("data*"); len(left) > 0 {
		t.Errorf("a bad configuration made %v", left)
	}
}
