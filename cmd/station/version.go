package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the program's version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.json {
				return a.printJSON(map[string]string{"software": software(), "go": runtime.Version()})
			}
			_, err := fmt.Fprintf(a.stdout, "%s (%s)\n", software(), runtime.Version())
			return err
		},
	}
}
