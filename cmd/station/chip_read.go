package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"station/flash"
	"station/recipes"
)

// largestPart bounds what is read from a file: no profile may be larger.
const largestPart = 256 << 20

// readChunk is the step of progress and of Ctrl-C.
const readChunk = 1 << 20

// span is a range as the command line has it.
type span struct{ at, size string }

func (s *span) flags(c *cobra.Command, size bool) {
	c.Flags().StringVar(&s.at, "at", "0", "first `ADDRESS`, as recipes write it: 0x10000, 64KiB")
	if size {
		c.Flags().StringVar(&s.size, "size", "", "`BYTES` from there on (default: to the end of the part)")
	}
}

// start is the first address.
func (s *span) start() (int64, error) {
	at, err := recipes.ParseSize(s.at)
	if err != nil {
		return 0, exit(exitRefused, fmt.Errorf("--at %w", err))
	}
	return at, nil
}

// of is the range on this part.
func (s *span) of(p *flash.Part) (flash.Range, error) {
	at, err := s.start()
	if err != nil {
		return flash.Range{}, err
	}
	size := p.Size - at
	if s.size != "" {
		if size, err = recipes.ParseSize(s.size); err != nil {
			return flash.Range{}, exit(exitRefused, fmt.Errorf("--size %w", err))
		}
	}
	return within(p, at, size)
}

func within(p *flash.Part, at, size int64) (flash.Range, error) {
	if size <= 0 || at >= p.Size || size > p.Size-at {
		return flash.Range{}, exit(exitRefused, fmt.Errorf("a range of %s from 0x%06X on is not within the %s of %s; nothing was touched", sizeText(size), at, sizeText(p.Size), p.Name))
	}
	return flash.Range{Addr: at, Size: size}, nil
}

// withContent lends the chip together with what a file has for it. File and address are looked at before the slot is opened.
func (a *app) withContent(ctx context.Context, at *seat, where *span, file string, do func(*seated, flash.Extent) error) error {
	start, err := where.start()
	if err != nil {
		return err
	}
	data, err := contentOf(file)
	if err != nil {
		return err
	}
	return a.onChip(ctx, at, func(s *seated) error {
		r, err := within(s.chip.Part(), start, int64(len(data)))
		if err != nil {
			return err
		}
		return do(s, flash.Extent{Addr: r.Addr, Size: r.Size, Data: data})
	})
}

// contentOf reads a file that is to be on a chip.
func contentOf(file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, exit(exitRefused, err)
	case !info.Mode().IsRegular():
		return nil, exit(exitRefused, fmt.Errorf("%s is no file", file))
	case info.Size() == 0:
		return nil, exit(exitRefused, fmt.Errorf("%s is empty", file))
	case info.Size() > largestPart:
		return nil, exit(exitRefused, fmt.Errorf("%s has %d bytes, more than any part", file, info.Size()))
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, exit(exitRefused, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largestPart))
	if err != nil {
		return nil, exit(exitError, err)
	}
	return data, nil
}

type spanJSON struct {
	Slot string `json:"slot"`
	Part string `json:"part"`
	UID  string `json:"uid"`
	At   int64  `json:"at"`
	Size int64  `json:"size"`
	File string `json:"file"`
	OK   bool   `json:"ok"`
}

func (s *seated) spanJSON(r flash.Range, file string) spanJSON {
	return spanJSON{s.slot, s.chip.Part().Name, s.chip.UID(), r.Addr, r.Size, file, true}
}

func (a *app) chipRead() *cobra.Command {
	var where span
	var file string
	var force bool
	c := &cobra.Command{
		Use:     "read --slot NAME -o FILE",
		Short:   "Read the part into a file; changes nothing",
		Example: "  station chip read --slot 1 -o whole.bin\n  station chip read --slot 1 --at 0x10000 --size 64KiB -o sector.bin",
		Args:    cobra.NoArgs,
	}
	at := seatFlags(c)
	where.flags(c, true)
	c.Flags().StringVarP(&file, "output", "o", "", "`FILE` that is made")
	c.Flags().BoolVar(&force, "force", false, "write over a FILE that is there")
	c.MarkFlagRequired("output")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if file == "" {
			return exit(exitRefused, errors.New("-o names no file"))
		}
		if info, err := os.Stat(file); err == nil && (!force || !info.Mode().IsRegular()) {
			return exit(exitRefused, fmt.Errorf("%s is there already: name another, or write over a file with --force", file))
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return exit(exitRefused, err)
		}
		if _, err := where.start(); err != nil {
			return err
		}
		tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".partial-*") // what a kill leaves tells what it is
		if err != nil {
			return exit(exitRefused, err)
		}
		defer os.Remove(tmp.Name()) // it is FILE by then, or not wanted
		defer tmp.Close()
		return a.onChip(c.Context(), at, func(s *seated) error {
			r, err := where.of(s.chip.Part())
			if err != nil {
				return err
			}
			s.begins(fmt.Sprintf("read %s from 0x%06X on", sizeText(r.Size), r.Addr))
			show := s.progress("reading")
			buffer := make([]byte, min(readChunk, r.Size))
			for done := int64(0); done < r.Size; {
				n := min(int64(len(buffer)), r.Size-done)
				if err := s.chip.Read(c.Context(), r.Addr+done, buffer[:n]); err != nil {
					return err
				}
				if _, err := tmp.Write(buffer[:n]); err != nil {
					return exit(exitError, err)
				}
				done += n
				show(done, r.Size)
			}
			if err := errors.Join(tmp.Chmod(0o644), tmp.Close(), os.Rename(tmp.Name(), file)); err != nil {
				return exit(exitError, err)
			}
			if a.json {
				return a.printJSON(s.spanJSON(r, file))
			}
			_, err = printf(a.stdout, "%s: %s of %s %s\n", file, r.String(), s.chip.Part().Name, s.chip.UID())
			return err
		})
	}
	return c
}

func (a *app) chipVerify() *cobra.Command {
	var where span
	c := &cobra.Command{
		Use:   "verify FILE --slot NAME",
		Short: "Compare the part with a file: exit code 1 and the first address where they differ; changes nothing",
		Args:  cobra.ExactArgs(1),
	}
	at := seatFlags(c)
	where.flags(c, false)
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.withContent(c.Context(), at, &where, args[0], func(s *seated, content flash.Extent) error {
			r := flash.Range{Addr: content.Addr, Size: content.Size}
			s.begins(fmt.Sprintf("verify %s from 0x%06X on", sizeText(r.Size), r.Addr))
			err := s.chip.Verify(c.Context(), []flash.Extent{content}, s.progress("verifying"))
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(s.spanJSON(r, args[0]))
			}
			_, err = printf(a.stdout, "%s: %s of %s %s holds it\n", args[0], r.String(), s.chip.Part().Name, s.chip.UID())
			return err
		})
	}
	return c
}
