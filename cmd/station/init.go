package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	root "station"
)

func (a *app) init() *cobra.Command {
	var simulated bool
	c := &cobra.Command{
		Use:   "init",
		Short: "Make a data directory: ledger and keys, real or simulated for ever; and config.yaml where there is none",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			// The configuration comes first: an init that dies in between is done again, and finds it.
			made, err := a.makeConfig(simulated)
			if err != nil {
				return exit(exitError, err)
			}
			if err := initialise(cfg.Data, cfg, simulated); err != nil {
				if made {
					os.Remove(ownConfig)
				}
				return err
			}
			if a.json {
				return a.printJSON(struct {
					Data      string `json:"data"`
					Station   string `json:"station"`
					Simulated bool   `json:"simulated"`
					Config    bool   `json:"config"` // config.yaml is new
				}{cfg.Data, cfg.Station, simulated, made})
			}
			kind := "a real station"
			if simulated {
				kind = "a SIMULATED station"
			}
			_, err = fmt.Fprintf(a.stdout, "%s is ready: %s, id %s\n", cfg.Data, kind, cfg.Station)
			if made && err == nil {
				_, err = fmt.Fprintf(a.stdout, "%s is new: the slots of this station, and who can open its escrow, are to be set there\n", ownConfig)
			}
			return err
		},
	}
	c.Flags().BoolVar(&simulated, "simulated", false, "simulate the programmers and boards; every entry, page and PDF says SIMULATED")
	return c
}

// makeConfig writes the built-in configuration to config.yaml for people to change, unless there is one or --config names another. What the
// fixtures of a real station give, nobody has measured yet: it says no volts, so that nothing is written before somebody has.
func (a *app) makeConfig(simulated bool) (made bool, err error) {
	if a.configFile != "" {
		return false, nil
	}
	f, err := os.OpenFile(ownConfig, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	text := root.DefaultConfig
	if !simulated {
		text = bytes.ReplaceAll(text, []byte(`volts: "3.3", `), nil)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		os.Remove(ownConfig)
		return false, err
	}
	return true, nil
}
