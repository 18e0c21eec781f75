package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"station/kiosk"
	"station/ledger"
)

func peopleFile(data string) string { return filepath.Join(data, "people.json") }

// staff is where people are changed: in the file and the ledger of this PC, or at the station that holds them.
type staff interface {
	Add(ctx context.Context, by kiosk.Who, person kiosk.Person, pin, badge string) (code string, err error)
	Change(ctx context.Context, by kiosk.Who, id string, c kiosk.PersonChange) (code string, err error)
	Remove(ctx context.Context, by kiosk.Who, id string) error
}

func (a *app) user() *cobra.Command {
	c := &cobra.Command{
		Use:   "user",
		Short: "Who may sign in at the station, and as what",
		Long: "Who may sign in at the station's pages, and as what. Whoever may write the data directory may do this: it is also the way in again when nobody is left who can.\n" +
			"PINs and the codes of badges are typed at the terminal, unseen, or are a line of standard input; never arguments.",
	}
	c.AddCommand(a.userList(), a.userAdd(), a.userRole(), a.userPIN(), a.userBadge(), a.userRemove(), a.userFree())
	return c
}

// withStaff has do change people.
func (a *app) withStaff(ctx context.Context, do func(staff) error) error {
	if s, ok := a.atWork(ctx); ok {
		return do(remoteStaff{s})
	}
	cfg, keys, db, err := a.openLedgerToDecide()
	if err != nil {
		return err
	}
	defer keys.Close()
	defer db.Close()
	people, err := kiosk.OpenPeople(peopleFile(cfg.Data), func(ctx context.Context, b ledger.Body) error {
		_, err := db.Append(ctx, b)
		return err
	})
	if err != nil {
		return exit(exitError, err)
	}
	people.Form = regexp.MustCompile(cfg.Page.Badge)
	return do(people)
}

// staffErr is what a person reads of what was refused.
func staffErr(err error) error {
	var no *kiosk.Refusal
	switch {
	case err == nil, errors.As(err, new(*exitErr)):
		return err
	case errors.As(err, &no):
		return exit(exitRefused, fmt.Errorf("%s. %s", no.Text, no.Next))
	}
	return exit(exitError, err)
}

func (a *app) userList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Everybody, and how they sign in",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			data, err := a.data()
			if err != nil {
				return err
			}
			if _, err := os.Stat(ledgerFile(data)); errors.Is(err, fs.ErrNotExist) {
				return ledgerErr(data, err)
			}
			people, err := kiosk.OpenPeople(peopleFile(data), nil)
			if err != nil {
				return exit(exitError, err)
			}
			return a.printPeople(people.All())
		},
	}
}

func (a *app) printPeople(all []kiosk.Person) error {
	if a.json {
		return a.printJSON(all)
	}
	if len(all) == 0 {
		printf(a.stderr, "there is nobody: `station user add ID --name NAME --role admin` adds the first\n")
		return nil
	}
	rows := [][]string{{"ID", "ROLE", "NAME", "SIGNS IN BY", "PIN LOCKED UNTIL"}}
	for _, p := range all {
		var ways []string
		if p.PIN {
			ways = append(ways, "PIN")
		}
		if p.Badge {
			ways = append(ways, "badge")
		}
		locked := ""
		if !p.Locked.IsZero() {
			locked = p.Locked.Format(time.RFC3339)
		}
		rows = append(rows, []string{p.ID, string(p.Role), p.Name, strings.Join(ways, ", "), locked})
	}
	return a.printTable(rows)
}

// userChange is a command that changes the person who is its first argument. secret is what is asked for before anything is opened, "" for nothing; do says what was done.
func (a *app) userChange(use, short string, args int, secret func() string, do func(ctx context.Context, s staff, by kiosk.Who, args []string, secret string) (said string, code string, err error)) *cobra.Command {
	var who string
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(args),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if err := readable("--by", who, longestName); err != nil {
				return err
			}
			typed := ""
			if what := secret(); what != "" {
				if typed, err = a.secretLine(c.Context(), what); err != nil {
					return err
				}
			}
			return staffErr(a.withStaff(c.Context(), func(s staff) error {
				said, code, err := do(c.Context(), s, kiosk.Who{ID: who}, args, typed)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(userJSON{args[0], code})
				}
				if code != "" {
					said += "; the code for the badge, which nobody is told again:\n" + code
				}
				_, err = fmt.Fprintf(a.stdout, "%s\n", said)
				return err
			}))
		},
	}
	by(c, &who)
	return c
}

type userJSON struct {
	ID    string `json:"id"`
	Badge string `json:"badge,omitempty"` // the code that was made
}

func nothing() string { return "" }

func (a *app) userAdd() *cobra.Command {
	var name, role string
	var badge bool
	c := a.userChange("add ID --name NAME --role ROLE", "Add somebody, with a PIN that is asked for, or with a badge; the first one is an admin", 1,
		func() string {
			if badge {
				return ""
			}
			return "PIN"
		},
		func(ctx context.Context, s staff, by kiosk.Who, args []string, pin string) (string, string, error) {
			how := ""
			if badge {
				how = kiosk.NewBadge
			}
			code, err := s.Add(ctx, by, kiosk.Person{ID: args[0], Name: name, Role: kiosk.Role(role)}, pin, how)
			return fmt.Sprintf("%s may sign in as %s", args[0], role), code, err
		})
	f := c.Flags()
	f.StringVar(&name, "name", "", "`NAME` to sign in with and to be shown; it is in no ledger and no report")
	f.StringVar(&role, "role", "", "`operator|supervisor|auditor|admin`")
	f.BoolVar(&badge, "badge", false, "make a badge, and ask for no PIN")
	c.MarkFlagRequired("name")
	c.MarkFlagRequired("role")
	return c
}

func (a *app) userRole() *cobra.Command {
	return a.userChange("role ID ROLE", "Let somebody do what another role does, from now on", 2, nothing,
		func(ctx context.Context, s staff, by kiosk.Who, args []string, _ string) (string, string, error) {
			role := kiosk.Role(args[1])
			_, err := s.Change(ctx, by, args[0], kiosk.PersonChange{Role: &role})
			return fmt.Sprintf("%s is %s from now on", args[0], role), "", err
		})
}

func (a *app) userPIN() *cobra.Command {
	var none bool
	c := a.userChange("pin ID", "Give somebody another PIN, and sign them out", 1,
		func() string {
			if none {
				return ""
			}
			return "PIN"
		},
		func(ctx context.Context, s staff, by kiosk.Who, args []string, pin string) (string, string, error) {
			_, err := s.Change(ctx, by, args[0], kiosk.PersonChange{PIN: &pin})
			said := "%s has another PIN"
			if none {
				said = "%s has no PIN any more"
			}
			return fmt.Sprintf(said, args[0]), "", err
		})
	c.Flags().BoolVar(&none, "none", false, "take the PIN away")
	return c
}

func (a *app) userBadge() *cobra.Command {
	var none, scan bool
	c := a.userChange("badge ID", "Make somebody a badge in place of the one they had, and sign them out", 1,
		func() string {
			if scan {
				return "badge"
			}
			return ""
		},
		func(ctx context.Context, s staff, by kiosk.Who, args []string, badge string) (string, string, error) {
			said := "%s has another badge"
			switch {
			case none:
				said = "%s has no badge any more"
			case !scan:
				badge = kiosk.NewBadge
			}
			code, err := s.Change(ctx, by, args[0], kiosk.PersonChange{Badge: &badge})
			return fmt.Sprintf(said, args[0]), code, err
		})
	c.Flags().BoolVar(&none, "none", false, "take the badge away")
	c.Flags().BoolVar(&scan, "scan", false, "scan a badge that they have, such as the company's")
	c.MarkFlagsMutuallyExclusive("none", "scan")
	return c
}

func (a *app) userRemove() *cobra.Command {
	return a.userChange("remove ID", "Forget somebody: name, PIN and badge; the ledger keeps the id", 1, nothing,
		func(ctx context.Context, s staff, by kiosk.Who, args []string, _ string) (string, string, error) {
			return fmt.Sprintf("%s may not sign in any more, and the name is gone from this station", args[0]), "", s.Remove(ctx, by, args[0])
		})
}

func (a *app) userFree() *cobra.Command {
	return a.userChange("free ID", "Let somebody try a PIN again who typed too many wrong ones", 1, nothing,
		func(ctx context.Context, s staff, by kiosk.Who, args []string, _ string) (string, string, error) {
			_, err := s.Change(ctx, by, args[0], kiosk.PersonChange{Free: true})
			return fmt.Sprintf("%s may try a PIN again", args[0]), "", err
		})
}
