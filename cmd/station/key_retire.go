package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"station/keyring"
	"station/ledger"
)

func (a *app) keyRetire() *cobra.Command {
	var reason, by string
	c := &cobra.Command{
		Use:   "retire NAME --reason TEXT --by PERSON",
		Short: "Let no chip get a root key from a master key any more",
		Long: "Let no chip get a root key from a master key any more, whatever recipe names it. Units that have theirs from it go on: counters and rework need the key,\n" +
			"so it is kept. A master that is lost is retired in the same way.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := readable("--reason", reason, longestReason); err != nil {
				return err
			}
			if err := readable("--by", by, longestName); err != nil {
				return err
			}
			_, keys, db, err := a.openLedgerToDecide()
			if err != nil {
				return err
			}
			defer keys.Close()
			defer db.Close()
			theirs, used, retired, err := db.Master(args[0])
			if err != nil {
				return exit(exitError, err)
			}
			ours, err := keys.MasterFingerprint(args[0])
			switch missing := errors.Is(err, keyring.ErrMissing); {
			case errors.Is(err, keyring.ErrName):
				return exit(exitRefused, err)
			case err != nil && !missing:
				return exit(exitError, err)
			case retired:
				return exit(exitRefused, fmt.Errorf("the master %s is retired already; nothing was changed", args[0]))
			case missing && !used:
				return exit(exitRefused, fmt.Errorf("neither the keys nor the ledger have a master %s; nothing was changed", args[0]))
			}
			// What units have their keys from counts, where the key that is there is another one.
			b := ledger.MasterRetired{Name: args[0], Fingerprint: cmp.Or(theirs, ours), Reason: reason, By: by}
			index, err := db.Append(c.Context(), b)
			if err != nil {
				return exit(exitError, err)
			}
			if a.json {
				return a.printJSON(struct {
					Index int64 `json:"index"` // of the entry master.retired
					ledger.MasterRetired
				}{index, b})
			}
			_, err = printf(a.stdout, "entry %d says for ever that the master %s is retired: no chip gets a key from it any more. Units that have theirs go on, so keep it\n", index, args[0])
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&reason, "reason", "", "why, in a `TEXT` for the auditor")
	f.StringVar(&by, "by", "", "pseudonymous id of the `PERSON` who decided; recorded as unauthenticated")
	for _, name := range []string{"reason", "by"} {
		c.MarkFlagRequired(name)
	}
	return c
}
