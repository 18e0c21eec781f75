package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) init() *cobra.Command {
	var simulated bool
	c := &cobra.Command{
		Use:   "init",
		Short: "Make a data directory: ledger and keys, real or simulated for ever",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			if err := initialise(cfg.Data, cfg, simulated); err != nil {
				return err
			}
			kind := "a real station"
			if simulated {
				kind = "a SIMULATED station"
			}
			_, err = fmt.Fprintf(a.stdout, "%s is ready: %s, id %s\n", cfg.Data, kind, cfg.Station)
			return err
		},
	}
	c.Flags().BoolVar(&simulated, "simulated", false, "simulate the programmers and boards; every entry, page and PDF says SIMULATED")
	return c
}
