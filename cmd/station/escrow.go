package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"station/keyring"
	"station/provision"
	"station/store"
)

func (a *app) escrow() *cobra.Command {
	c := &cobra.Command{Use: "escrow", Short: "The secrets of units, for those who hold the identities"}
	c.AddCommand(a.escrowShow(), a.escrowOpen(), a.escrowMatch(), a.escrowReseal())
	return c
}

// escrowsOf returns the escrows of a unit and the ledger that holds them, which may be a copy of the station's.
func (a *app) escrowsOf(ctx context.Context, serial string) (*store.DB, []store.Escrow, error) {
	db, _, err := a.openLedgerToRead(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, err := db.EscrowsOf(serial)
	if err == nil && len(all) == 0 {
		err = exit(exitNo, fmt.Errorf("the ledger has no escrow of unit %q", serial))
	}
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return db, all, nil
}

type escrowJSON struct {
	Escrow string `json:"escrow"`
	Kind   string `json:"kind"`  // "password" or "root_key"
	Index  int    `json:"index"` // of the counter; 0 for a password
	UID    string `json:"uid"`
	State  string `json:"state"`            // "proven", "never learned" or "open"
	Sealed string `json:"sealed,omitempty"` // the armored age file, of show
	Secret string `json:"secret,omitempty"` // hex, of open
}

// eachEscrow hands over the escrows of a unit with their ciphertexts.
func (a *app) eachEscrow(ctx context.Context, serial string, do func(j escrowJSON, sealed []byte) error) error {
	db, all, err := a.escrowsOf(ctx, serial)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, e := range all {
		sealed, err := db.Escrow(e.ID)
		if err != nil {
			return exit(exitError, err)
		}
		if err := do(escrowJSON{Escrow: e.ID, Kind: e.Kind, Index: e.Index, UID: e.UID, State: escrowState(e)}, sealed); err != nil {
			return err
		}
	}
	return nil
}

// title names an escrow in one line.
func (j escrowJSON) title() string {
	what := j.Kind
	if what == "root_key" {
		what = fmt.Sprintf("root_key %d", j.Index)
	}
	return shown(fmt.Sprintf("%s  %s  chip %s  %s", j.Escrow, what, j.UID, j.State))
}

func (a *app) escrowShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show SERIAL",
		Short: "Print the escrows of a unit, sealed: armored age files, which the age program opens",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.eachEscrow(c.Context(), args[0], func(j escrowJSON, sealed []byte) error {
				if a.json {
					j.Sealed = string(sealed)
					return a.printLine(j)
				}
				_, err := fmt.Fprintf(a.stdout, "%s\n%s", j.title(), sealed)
				return err
			})
		},
	}
}

func (a *app) escrowOpen() *cobra.Command {
	var identity string
	c := &cobra.Command{
		Use:   "open SERIAL --identity FILE",
		Short: "Print the secrets of a unit, opened with an age identity; a copy of the data directory will do",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			opened := 0
			var closed []error // each secret may be for other people
			err := a.eachEscrow(c.Context(), args[0], func(j escrowJSON, sealed []byte) error {
				err := keyring.Unseal(sealed, identity, func(secret []byte) error {
					j.Secret = hex.EncodeToString(secret)
					if a.json {
						return a.printLine(j)
					}
					_, err := fmt.Fprintf(a.stdout, "%s  %s\n", j.title(), j.Secret)
					return err
				})
				if err != nil {
					closed = append(closed, fmt.Errorf("escrow %s, %s: %w", j.Escrow, j.Kind, err))
					return nil
				}
				opened++
				return nil
			})
			switch {
			case err != nil || len(closed) == 0:
				return err
			case opened == 0:
				return exit(exitNo, closed[0])
			}
			return exit(exitNo, errors.Join(closed...))
		},
	}
	c.Flags().StringVar(&identity, "identity", "", "age identity `FILE`")
	c.MarkFlagRequired("identity")
	return c
}

func escrowState(e store.Escrow) string {
	switch {
	case e.Void:
		return "never learned"
	case e.Proven:
		return "proven"
	}
	return "open"
}

func (a *app) escrowMatch() *cobra.Command {
	var identity string
	c := &cobra.Command{
		Use:   "match SERIAL [--identity FILE]",
		Short: "Say whether the password on standard input (16 hex digits) is the unit's: yes or no",
		Long: "Say whether the password on standard input, 16 hex digits in the order of the wire, is the one of the unit.\n\n" +
			"With an identity the escrow is opened and compared. Without one only the station that wrote the password can tell,\n" +
			"and only while the unit's run is open: afterwards it keeps nothing that could.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			line, err := bufio.NewReader(io.LimitReader(a.stdin, 256)).ReadString('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				return exit(exitError, err)
			}
			given, err := hex.DecodeString(strings.TrimSpace(line))
			if err != nil || len(given) != 8 {
				return exit(exitRefused, errors.New("the password on standard input is not 16 hex digits"))
			}
			db, all, err := a.escrowsOf(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer db.Close()
			for _, e := range all {
				if e.Kind != "password" || e.Void {
					continue
				}
				same, err := a.matches(db, e, given, identity)
				if err != nil {
					return err
				}
				if same {
					_, err := fmt.Fprintln(a.stdout, "yes")
					return err
				}
			}
			fmt.Fprintln(a.stdout, "no")
			return exit(exitNo, nil)
		},
	}
	c.Flags().StringVar(&identity, "identity", "", "age identity `FILE`")
	return c
}

func (a *app) matches(db *store.DB, e store.Escrow, given []byte, identity string) (same bool, err error) {
	if identity != "" {
		text, err := db.Escrow(e.ID)
		if err != nil {
			return false, exit(exitError, err)
		}
		err = keyring.Unseal(text, identity, func(secret []byte) error {
			same = subtle.ConstantTimeCompare(secret, given) == 1
			return nil
		})
		if err != nil {
			return false, exit(exitNo, err)
		}
		return same, nil
	}
	tag, err := db.Note(e.Run, provision.NoteTag)
	if err != nil {
		return false, exit(exitRefused, errors.New("the unit's run is settled, so the station cannot tell any more: give --identity"))
	}
	keys, err := a.openKeys()
	if err != nil {
		return false, err
	}
	defer keys.Close()
	now, err := keys.Tag(e.UID, e.ID, given)
	if err != nil {
		return false, exit(exitError, err)
	}
	return hmac.Equal(tag, now), nil
}
