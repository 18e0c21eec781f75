package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"station/sim/nor"
)

// secretRun is the rest of a command line that carries out secret.yaml in slot 1.
var secretRun = []string{"--value", "1.mac=020000000001"}

// permanentLines are what the program says from before the first permanent step of secret.yaml until after the last.
var permanentLines = []string{"3/10 lock", "4/10 PERMANENT root key 0", "5/10 PERMANENT root key 1", "6/10 PERMANENT counter", "7/10 PERMANENT password", "8/10 freeze"}

// TestKillPermanent kills the program with SIGKILL around the permanent steps of a run, at chosen instants and at each line, and then gives the
// same command again: the unit passes, no permanent command took effect twice, and the escrow opens every secret on the chip.
func TestKillPermanent(t *testing.T) {
	t.Parallel()
	for name, repower := range map[string]bool{"powered": false, "repowered": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := &killer{position: newAudited(t), repower: repower, hits: map[string]int{}, recipe: "secret.yaml", options: secretRun, lines: permanentLines, settled: settledSecret}
			defer k.close()
			k.measure()
			k.measure()
			if testing.Short() {
				k.killAtInstants(3, 7)
				return
			}
			// Of one seed for each, so that no two instants are the same.
			seed := uint64(7)
			if repower {
				seed = 8
			}
			k.killAtInstants(10, seed)
			dice := rand.New(rand.NewPCG(seed, 1))
			for _, line := range append(permanentLines, "9/10 power cycle", "10/10 check") {
				k.kill(line, 0)
				if !strings.Contains(line, "PERMANENT") {
					continue
				}
				k.kill(line, time.Duration(dice.Int64N(int64(4*time.Millisecond)))) // within a step's few writes to the disk
			}
			t.Logf("with those at lines: %v", k.hits)
		})
	}
}

var kills = flag.Int("kills", 8, "how often TestKillSlots kills the program")

// TestKillSlots kills the program with SIGKILL while it provisions four slots, a time after a line of what it says, both drawn from a seed; also while it goes on after the last
// kill, and lets every board keep its power or lose it. Then the same command again: every unit passes, as TestKillPermanent wants it, and
// the ledger verifies. make kill does it 300 times.
func TestKillSlots(t *testing.T) {
	t.Parallel()
	k := &killer{position: newAudited(t), hits: map[string]int{}}
	defer k.close()
	dice := rand.New(rand.NewPCG(11, 0))
	var said int          // lines of a run of four that nobody kills
	var gap time.Duration // between two of them
	midRun := 0           // kills that found some slot there
	for done := 0; done < *kills; {
		args := []string{"run", "secret.yaml"}
		var serials []string
		for slot := 1; slot <= 4; slot++ {
			k.units++
			serial := fmt.Sprintf("TB-%04d", k.units)
			serials = append(serials, serial)
			args = append(args, "--slot", fmt.Sprintf("%d=%s", slot, serial), "--value", fmt.Sprintf("%d.mac=020000000001", slot))
		}
		if said == 0 {
			r := k.launch(args...)
			for r.next() {
				said++
			}
			gap = time.Since(r.began) / time.Duration(said)
			if err := r.wait(); err != nil {
				t.Fatal(err)
			}
		} else {
			for range min(1+dice.IntN(3), *kills-done) {
				k.launchAndKill(args, dice.IntN(said), time.Duration(dice.Int64N(int64(2*gap))))
				done++
				before := k.hits["mid-run"]
				for _, serial := range serials {
					k.hits[k.where(serial)]++
					if dice.IntN(2) == 0 {
						k.repowered(serial)
					}
				}
				if k.hits["mid-run"] > before {
					midRun++
				}
			}
			k.expect(exitDone, args...)
		}
		for _, serial := range serials {
			if now := k.where(serial); now != "after its end" {
				t.Errorf("%s is now %s", serial, now)
			}
			settledSecret(k, serial, "")
			if t.Failed() {
				t.Fatalf("%s, after %d kills: see above", serial, done)
			}
		}
	}
	if out, _ := k.expect(exitDone, "audit", "verify"); !strings.Contains(out, "ledger verified") {
		t.Error(out)
	}
	t.Logf("%d kills, %d units, a run of four says %d lines, %v apart: where the kills hit each unit: %v; %d kills found a unit in mid-run", *kills, k.units, said, gap.Round(time.Microsecond), k.hits, midRun)
	if midRun < *kills/2 {
		t.Errorf("%d of %d kills found a unit in mid-run", midRun, *kills)
	}
}

// launchAndKill starts a command and kills it a time after some lines.
func (k *killer) launchAndKill(args []string, lines int, after time.Duration) {
	r := k.launch(args...)
	for range lines {
		r.next()
	}
	time.Sleep(after)
	r.cmd.Process.Kill()
	r.wait()
}

// repowered takes the power from a board, where it was made already, and gives it back.
func (k *killer) repowered(serial string) {
	k.t.Helper()
	if _, err := os.Stat(k.board(serial)); err != nil {
		return
	}
	chip := openBoard(k.t, k.board(serial))
	chip.Power(false)
	chip.Power(true)
	if err := chip.Close(); err != nil {
		k.t.Fatalf("%s: %v", serial, err)
	}
}

// settledSecret: the chip is as secret.yaml says.
func settledSecret(k *killer, serial, _ string) {
	t := k.t
	t.Helper()
	chip := openBoard(t, k.board(serial))
	if want := bootImage()[:loaderSize]; !bytes.Equal(chip.Bytes(0, loaderSize), want) {
		t.Error("the boot region does not hold the image")
	}
	identity := append(append([]byte(serial), bytes.Repeat([]byte{0xFF}, 32-len(serial))...), 2, 0, 0, 0, 0, 1)
	if !bytes.Equal(chip.Bytes(0xFF0000, len(identity)), identity) {
		t.Error("the identity region does not hold serial and MAC address")
	}
	for s := range chip.Size() >> 16 {
		if locked := chip.LockedNonvolatile(s); locked != (s == 0 || s == 0xFF) {
			t.Errorf("sector %d: locked %t", s, locked)
		}
	}
	if chip.SPR() != 0xFFFB || !chip.Frozen() || chip.CounterValue(0) != 1 || chip.CounterValue(1) != 0 {
		t.Errorf("SPR %04X, frozen %t, counters %d and %d", chip.SPR(), chip.Frozen(), chip.CounterValue(0), chip.CounterValue(1))
	}
	for what, want := range map[string]uint64{nor.CountPassword: 1, nor.CountSectorProtection: 1, nor.CountRootKey: 2, nor.CountIncrement: 1,
		nor.CountLock: 2, nor.CountUnlockAll: 0} {
		if n := chip.Counters()[what]; n != want {
			t.Errorf("%s took effect %d times, want %d", what, n, want)
		}
	}
	secrets := chipSecrets(chip)
	if err := chip.Close(); err != nil {
		t.Fatal(err)
	}
	k.reconcile(serial, secrets)
}
