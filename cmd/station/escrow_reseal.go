package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"station/keyring"
	"station/ledger"
	"station/store"
)

// escrowReseal gives a station the password of one chip, for one run.
func (a *app) escrowReseal() *cobra.Command {
	var identity, out string
	c := &cobra.Command{
		Use:   "reseal SERIAL --identity FILE -o UNLOCK",
		Short: "Seal the password of a unit that may be reworked to its station, for that one run; a copy of the data directory will do",
		Long: "Seal the password of a unit to the station that it is to be reworked on. The file opens for the run that uses the unit's permission, on the chip that the\n" +
			"unit has, and for nothing else; `station run --unlock SLOT=UNLOCK` takes it. Nothing is written to the ledger, and no secret is printed.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			db, _, err := a.openLedgerToRead(c.Context())
			if err != nil {
				return err
			}
			defer db.Close()
			p, err := resealable(db, args[0])
			if err != nil {
				return err
			}
			e, found, err := passwordOf(db, p.Serial, p.UID)
			if err == nil && !found {
				err = exit(exitRefused, fmt.Errorf("the ledger has no escrow whose password was on chip %s of %s", p.UID, p.Serial))
			}
			if err != nil {
				return err
			}
			sealed, err := db.Escrow(e.ID)
			if err != nil {
				return exit(exitError, err)
			}
			of := keyring.Unlock{Serial: p.Serial, UID: p.UID, Escrow: e.ID, Permit: p.Index}
			var again []byte
			err = keyring.Unseal(sealed, identity, func(password []byte) (err error) {
				again, err = keyring.SealUnlock(p.Recipient, of, password)
				return err
			})
			if err != nil {
				return exit(exitNo, fmt.Errorf("escrow %s: %w", e.ID, err))
			}
			if err := writeOnce(out, again); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(resealJSON{out, of.Serial, of.UID, of.Escrow, of.Permit, p.Recipient})
			}
			printf(a.stdout, "%s opens chip %s of %s for the run of permission %d, and nothing else\nsealed to %s, which is the station's own\n", out, of.UID, of.Serial, of.Permit, p.Recipient)
			return nil
		},
	}
	c.Flags().StringVar(&identity, "identity", "", "age identity `FILE`")
	c.Flags().StringVarP(&out, "output", "o", "", "`FILE` to write, which is not there yet")
	c.MarkFlagRequired("identity")
	c.MarkFlagRequired("output")
	return c
}

type resealJSON struct {
	File      string `json:"file"`
	Serial    string `json:"serial"`
	UID       string `json:"uid"`
	Escrow    string `json:"escrow"`
	Permit    int64  `json:"permit"`
	Recipient string `json:"recipient"` // of the station
}

// resealable is the permission that a password may be sealed for: one that no run has used, or whose run is open.
func resealable(db *store.DB, serial string) (p ledger.Permission, err error) {
	runs, err := runsOf(db, serial)
	if err != nil {
		return p, err
	}
	records, err := db.Permissions(serial)
	if err != nil {
		return p, exit(exitError, err)
	}
	refused := func(why string) error {
		return exit(exitRefused, fmt.Errorf("%s %s: no password is sealed to a station for it", serial, why))
	}
	all := ledger.Permissions(records)
	if len(all) == 0 || all[len(all)-1].Withdrawn != nil {
		return p, refused("may not be reworked")
	}
	p = all[len(all)-1]
	for _, r := range runs {
		if r.Start != nil && r.Start.Permit == p.Index && !r.Open() {
			return p, refused(fmt.Sprintf("was reworked by permission %d, and may not be once more", p.Index))
		}
	}
	switch {
	case p.Chip == ledger.NewChip:
		return p, refused("gets a new chip")
	case p.Recipient == "":
		return p, refused(fmt.Sprintf("had no password when permission %d was given", p.Index))
	}
	return p, nil
}

// writeOnce writes a file that is not there yet, for its owner alone.
func writeOnce(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return exit(exitRefused, fmt.Errorf("%s is there already; nothing was written", path))
	} else if err != nil {
		return exit(exitError, err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return exit(exitError, errors.Join(err, os.Remove(path)))
	}
	return nil
}
