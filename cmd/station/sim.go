package main

import (
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"station/fixtures"
	"station/sim/nor"
	"station/sim/serprog"
)

func (a *app) sim() *cobra.Command {
	c := &cobra.Command{Use: "sim", Short: "Simulated boards and programmers, offered to other programs"}
	c.AddCommand(a.simSerprog(), a.simUSBIP(), a.simFactoryKey())
	return c
}

func (a *app) simFactoryKey() *cobra.Command {
	return &cobra.Command{
		Use:     "factory-key",
		Short:   "Print the published key of the simulated chips' authenticated commands: 64 hex digits; it protects nothing",
		Example: "  station sim factory-key | station keyserver key create acrtm/factory --from -",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			key := fmt.Sprintf("%x", nor.FactoryKey())
			if a.json {
				return a.printJSON(struct {
					Key string `json:"key"` // hex
				}{key})
			}
			_, err := fmt.Fprintln(a.stdout, key)
			return err
		},
	}
}

func (a *app) simSerprog() *cobra.Command {
	var listen, part, state, pace, clock string
	c := &cobra.Command{
		Use:     "serprog --state FILE",
		Short:   "Offer one simulated board over flashrom's serprog protocol, until stopped",
		Example: "  station sim serprog --state demo-data/sim/GW-000001.chip &\n  flashrom -p serprog:ip=127.0.0.1:PORT -c MT25QL256 -r content.bin",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			hertz := fixtures.Hertz(clock)
			if hertz == 0 {
				return exit(exitRefused, fmt.Errorf("--clock %q: want a clock such as 30MHz or 400kHz", clock))
			}
			programmer, o := serprog.Options{Clock: hertz}, nor.Options{}
			switch pace {
			case "none":
			case "real":
				programmer.Pace, o.Pace = serprog.Real, nor.Real
			default:
				return exit(exitRefused, fmt.Errorf("--pace %q: want none or real", pace))
			}
			chip, err := openSimBoard(state, part, o)
			if err != nil {
				return err
			}
			defer chip.Close()
			ln, err := net.Listen("tcp", listen)
			if err != nil {
				return exit(exitError, err)
			}
			if _, err := fmt.Fprintf(a.stdout, "listening on %s\n", ln.Addr()); err != nil {
				return err
			}
			if err := serprog.New(chip, programmer).Serve(c.Context(), ln); err != nil && c.Context().Err() == nil {
				return exit(exitError, err)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:0", "`ADDRESS` to listen on")
	f.StringVar(&part, "part", "", "`PART` of a board that is made because FILE does not exist")
	f.StringVar(&state, "state", "", "board `FILE`")
	f.StringVar(&pace, "pace", "none", "none: nothing takes time; real: operations take the chip's typical time, and bytes their clocks")
	f.StringVar(&clock, "clock", "54MHz", "highest SPI `CLOCK`; a client may ask for less")
	c.MarkFlagRequired("state")
	return c
}
