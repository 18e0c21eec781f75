package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	root "station"
)

// finding is one line of `doctor`.
type finding struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Finding string `json:"finding"`
	Cure    string `json:"cure"` // what to do about it, "" where nothing has to be done; with OK it is a warning
}

func (a *app) doctor() *cobra.Command {
	var rules bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what keeps this machine from being a station, and say the cure",
		Example: "  station doctor\n" +
			"  station doctor --rules | sudo tee /etc/udev/rules.d/60-station.rules",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if rules {
				_, err := a.stdout.Write(root.UdevRules)
				return err
			}
			return a.printFindings(a.examine(c.Context(), thisMachine))
		},
	}
	c.Flags().BoolVar(&rules, "rules", false, "print the udev rules that give the right to the programmers, and nothing else")
	return c
}

// examine looks at everything, in the order in which it is to be cured.
func (a *app) examine(ctx context.Context, m machine) []finding {
	cfg, err := a.config()
	if err != nil {
		return append([]finding{{"config", false, err.Error(), "correct it; `station init` makes one where there is none"}}, m.self()...)
	}
	all := []finding{{"config", true, fmt.Sprintf("station %s, %d slots", cfg.Station, len(cfg.Slots)), ""}}
	if cfg.KeyServer != nil {
		all = append(all, examineCertificates(cfg, m.now()))
	}
	last, data := a.examineData(cfg.Data)
	all = append(all, data)
	if data.OK {
		all = append(all, m.disk(cfg.Data))
		all = append(all, examineKeys(cfg)...)
	}
	if data.OK && cfg.Mirror != "" {
		all = append(all, examineMirror(cfg))
	}
	all = append(all, m.clock(last))
	all = append(all, m.self()...)
	return append(all, a.examineUSB(ctx, m, cfg)...)
}

// errUnfit is the answer no of the doctor; the lines have said it.
var errUnfit = exit(exitNo, nil)

func (a *app) printFindings(all []finding) error {
	ok := true
	rows := [][]string{}
	for _, f := range all {
		ok = ok && f.OK
		word := "OK"
		switch {
		case !f.OK:
			word = "PROBLEM"
		case f.Cure != "":
			word = "WARNING"
		}
		first := []string{word, f.Name}
		for _, line := range strings.Split(strings.TrimSpace(f.Finding), "\n") { // a configuration is shown where it is wrong
			rows = append(rows, append(first, line))
			first = []string{"", ""}
		}
		if f.Cure != "" {
			rows = append(rows, []string{"", "", "cure: " + f.Cure})
		}
	}
	var err error
	if a.json {
		err = a.printJSON(struct {
			OK     bool      `json:"ok"`
			Checks []finding `json:"checks"`
		}{ok, all})
	} else {
		err = a.printTable(rows)
	}
	if err == nil && !ok {
		return errUnfit
	}
	return err
}
