package main

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"station/sim"
	"station/sim/ch341a"
	"station/sim/dediprog"
	"station/sim/ftdi"
	"station/sim/nor"
	"station/sim/pico"
	"station/sim/serprog"
	"station/sim/usbip"
)

// simProgrammer is a model that can be offered, and those of it that are.
type simProgrammer struct {
	flag, name string
	channels   int
	plug       func(ftdi.Pace) sim.Device
	boards     []string // of each, board files separated by commas
}

func (a *app) simUSBIP() *cobra.Command {
	var listen, part, pace string
	programmers := []simProgrammer{
		{flag: "ft232h", name: "FT232H", channels: 1, plug: func(p ftdi.Pace) sim.Device { return ftdi.New(ftdi.FT232H, ftdi.Options{Pace: p}) }},
		{flag: "ft2232h", name: "FT2232H", channels: 2, plug: func(p ftdi.Pace) sim.Device { return ftdi.New(ftdi.FT2232H, ftdi.Options{Pace: p}) }},
		{flag: "ft4232h", name: "FT4232H", channels: 2, plug: func(p ftdi.Pace) sim.Device { return ftdi.New(ftdi.FT4232H, ftdi.Options{Pace: p}) }},
		{flag: "ch341a", name: "CH341A", channels: 1, plug: func(p ftdi.Pace) sim.Device { return ch341a.New(ch341a.Options{Pace: ch341a.Pace(p)}) }},
		{flag: "pico", name: "Pico", channels: 1, plug: func(p ftdi.Pace) sim.Device { return pico.New(pico.Options{Pace: serprog.Pace(p)}) }},
		{flag: "sf100", name: "SF100", channels: 1, plug: func(p ftdi.Pace) sim.Device {
			return dediprog.New(dediprog.SF100, dediprog.Options{Pace: dediprog.Pace(p)})
		}},
		{flag: "sf600", name: "SF600", channels: 1, plug: func(p ftdi.Pace) sim.Device {
			return dediprog.New(dediprog.SF600, dediprog.Options{Pace: dediprog.Pace(p)})
		}},
	}
	c := &cobra.Command{
		Use:   "usbip --ft2232h FILE,FILE --ch341a FILE ...",
		Short: "Offer simulated programmers with boards under them to Linux kernels over USB/IP, until stopped",
		Example: "  station sim usbip --ch341a board.chip --part MT25QL256ABA &\n  sudo modprobe vhci-hcd\n" +
			"  sudo usbip attach -r 127.0.0.1 -b 1-1\n  sudo flashrom -p ch341a_spi -c MT25QL256 -r content.bin",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (failed error) {
			slow, o := ftdi.None, nor.Options{}
			switch pace {
			case "none":
			case "real":
				slow, o.Pace = ftdi.Real, nor.Real
			default:
				return exit(exitRefused, fmt.Errorf("--pace %q: want none or real", pace))
			}
			server := usbip.New()
			offered := ""
			n := 0
			for _, p := range programmers {
				for _, boards := range p.boards {
					n++
					dev, lose, err := p.offer(boards, part, slow, o)
					if err != nil {
						return err
					}
					defer func() { failed = errors.Join(failed, lose()) }()
					busID := fmt.Sprintf("1-%d", n)
					if err := server.Plug(busID, dev); err != nil {
						return err
					}
					offered += fmt.Sprintf("%-5s %-8s %s\n", busID, p.name, boards)
				}
			}
			if n == 0 {
				return exit(exitRefused, errors.New("no programmer to offer: name --ft232h, --ft2232h, --ft4232h, --ch341a, --pico, --sf100 or --sf600, each as often as wanted"))
			}
			ln, err := net.Listen("tcp", listen)
			if err != nil {
				return exit(exitError, err)
			}
			if _, err := fmt.Fprintf(a.stdout, "listening on %s\n%s", ln.Addr(), offered); err != nil {
				return errors.Join(err, ln.Close())
			}
			if err := server.Serve(c.Context(), ln); err != nil {
				return exit(exitError, err)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:3240", "`ADDRESS` to listen on")
	f.StringVar(&part, "part", "", "`PART` of boards that are made because a FILE does not exist")
	f.StringVar(&pace, "pace", "none", "none: nothing takes time; real: operations take the chip's typical time, and bytes their clocks")
	for i := range programmers {
		p := &programmers[i]
		files := "`FILE`"
		if p.channels > 1 {
			files = "`FILE[,FILE]`"
		}
		f.StringArrayVar(&p.boards, p.flag, nil, p.name+" with the board "+files+" under each channel, nothing for none")
	}
	return c
}

// offer makes a programmer with its boards; lose unplugs it and lets go of them. Errors are exits.
func (p *simProgrammer) offer(boards, part string, pace ftdi.Pace, o nor.Options) (dev sim.Device, lose func() error, err error) {
	files := strings.Split(boards, ",")
	if len(files) > p.channels {
		return nil, nil, exit(exitRefused, fmt.Errorf("--%s %s: %d boards; the %s has room for %d", p.flag, boards, len(files), p.name, p.channels))
	}
	var chips []*nor.Chip
	dev = p.plug(pace)
	lose = func() error {
		dev.Close()
		var failed []error
		for _, chip := range chips {
			failed = append(failed, chip.Close())
		}
		return errors.Join(failed...)
	}
	for channel, file := range files {
		if file == "" {
			continue
		}
		chip, err := openSimBoard(file, part, o)
		if err != nil {
			return nil, nil, errors.Join(err, lose())
		}
		chips = append(chips, chip)
		if err := dev.Attach(channel, chip); err != nil {
			return nil, nil, errors.Join(err, lose())
		}
	}
	return dev, lose, nil
}
