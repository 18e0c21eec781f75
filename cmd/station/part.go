package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"station/flash"
	"station/recipes"
	"station/yamltext"
)

func (a *app) part() *cobra.Command {
	c := &cobra.Command{Use: "part", Short: "Part profiles: what the station knows of each kind of chip"}
	c.AddCommand(a.partList(), a.partShow(), a.partCheck())
	return c
}

// recipesFlag is where the profiles are looked for that are not shipped.
func recipesFlag(c *cobra.Command) *string {
	return c.Flags().String("recipes", "recipes", "`DIR`ectory of the recipes; its parts/*.yaml are profiles, too")
}

// profiles are the shipped ones and those beside the recipes. A file that is wrong is left out with a warning: it must not lock anybody out of a chip.
func (a *app) profiles(dir string) []*flash.Part {
	parts, err := recipes.Parts(dir)
	for _, line := range problems(err) {
		printf(a.stderr, "warning: left out: %s\n", strings.TrimPrefix(line, recipes.ErrParts.Error()+": "))
	}
	return parts
}

// profile is the one with this name.
func profile(parts []*flash.Part, name string) (*flash.Part, error) {
	var names []string
	for _, p := range parts {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	message := fmt.Sprintf("no part is named %s; `station part list` shows them", yamltext.Quote(name))
	if near := yamltext.Nearest(name, names); near != "" {
		message += ": did you mean " + near + "?"
	}
	return nil, exit(exitRefused, errors.New(message))
}

type partJSON struct {
	Name  string         `json:"name"`
	ID    flash.DeviceID `json:"id"`
	Volts float64        `json:"volts"`
	Size  int64          `json:"size"`
	Dies  int            `json:"dies"`
	RPMC  int            `json:"rpmc"`  // counters
	OTP   int            `json:"otp"`   // bytes
	ACRTM string         `json:"acrtm"` // map of its authenticated commands, "" where the profile has none
	From  string         `json:"from"`
}

func (a *app) partList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "Every part that recipes may name", Args: cobra.NoArgs}
	dir := recipesFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		parts := a.profiles(*dir)
		list := []partJSON{}
		rows := [][]string{{"NAME", "ID", "VOLTS", "SIZE", "DIES", "RPMC", "OTP", "ACRTM", "FROM"}}
		for _, p := range parts {
			j := partJSON{Name: p.Name, ID: p.ID, Volts: p.Volts, Size: p.Size, Dies: p.Dies, From: "shipped"}
			if p.User {
				j.From = "user profile " + origin(*dir, p.Name)
			}
			rpmc, otp, acrtm := "-", "-", "-"
			if p.RPMC != nil {
				j.RPMC, rpmc = p.RPMC.Counters, count(int64(p.RPMC.Counters), "counter")
			}
			if p.OTP != nil {
				j.OTP, otp = p.OTP.Size, count(int64(p.OTP.Size), "byte")
			}
			if p.ACRTM != nil {
				j.ACRTM, acrtm = p.ACRTM.Map, p.ACRTM.Map
			}
			list = append(list, j)
			rows = append(rows, []string{j.Name, j.ID.String(), strconv.FormatFloat(j.Volts, 'g', -1, 64), sizeText(j.Size), strconv.Itoa(j.Dies), rpmc, otp, acrtm, j.From})
		}
		if a.json {
			return a.printJSON(list)
		}
		return a.printTable(rows)
	}
	return c
}

// origin is the file of a profile that is not shipped. The files were read a moment ago.
func origin(dir, name string) string {
	files, _ := filepath.Glob(filepath.Join(dir, recipes.PartsFolder, "*.yaml"))
	for _, file := range files {
		if p, err := readProfile(file); err == nil && p.Name == name {
			return file
		}
	}
	return ""
}

// sizeText is a size as recipes write it, and where that is a bare number, bytes.
func sizeText(n int64) string {
	switch {
	case n > 0 && n%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", n>>20)
	case n > 0 && n%(1<<10) == 0:
		return fmt.Sprintf("%dKiB", n>>10)
	}
	return count(n, "byte")
}

// count is "1 page", "2 pages".
func count(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func (a *app) partShow() *cobra.Command {
	c := &cobra.Command{
		Use:     "show NAME",
		Short:   "One profile as YAML, as a file beside the recipes has it; \"# assumed\" is what no source confirms",
		Example: "  station part show MT25QL256ABA > recipes/parts/mine.yaml   # give it another name, then: station part check recipes/parts/mine.yaml",
		Args:    cobra.ExactArgs(1),
	}
	dir := recipesFlag(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		parts := flash.Parts()
		// The file beside the recipes may be the very one that the output goes to.
		if !slices.ContainsFunc(parts, func(p *flash.Part) bool { return p.Name == args[0] }) {
			parts = a.profiles(*dir)
		}
		p, err := profile(parts, args[0])
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(p)
		}
		text, err := p.YAML()
		if err != nil {
			return exit(exitError, err)
		}
		_, err = a.stdout.Write(text)
		return err
	}
	return c
}

type partCheckJSON struct {
	File     string   `json:"file"`
	OK       bool     `json:"ok"`
	Part     string   `json:"part"`
	Digest   string   `json:"digest"`
	Problems []string `json:"problems"`
	Warnings []string `json:"warnings"`
}

func (a *app) partCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE ...",
		Short: "Show every mistake in part profiles of your own",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			code := exitDone
			named := map[string]string{}
			for _, file := range args {
				j := partCheckJSON{File: file, Problems: []string{}, Warnings: []string{}}
				p, err := readProfile(file)
				if err == nil && named[p.Name] != "" {
					err = fmt.Errorf("%s has a part %s, too", named[p.Name], yamltext.Quote(p.Name))
				}
				if err != nil {
					code = exitRefused
					j.Problems = problems(err)
				} else {
					j.OK, j.Part, j.Digest = true, p.Name, p.Digest()
					named[p.Name] = file
					for _, q := range flash.Parts() {
						if q.ID == p.ID {
							j.Warnings = append(j.Warnings, fmt.Sprintf("a chip with this ID is taken for %s, which is shipped, where --part %s does not say otherwise", q.Name, p.Name))
						}
					}
				}
				if a.json {
					err = a.printLine(j)
				} else {
					err = a.printCheck(j)
				}
				if err != nil {
					return err
				}
			}
			if code != exitDone {
				return exit(code, nil)
			}
			return nil
		},
	}
}

func (a *app) printCheck(j partCheckJSON) error {
	for _, problem := range j.Problems {
		printf(a.stderr, "%s: %s\n", j.File, problem)
	}
	if !j.OK {
		return nil
	}
	text := fmt.Sprintf("%s: part %s is right\n  digest %s\n", j.File, j.Part, j.Digest)
	for _, w := range j.Warnings {
		text += "  warning: " + w + "\n"
	}
	_, err := io.WriteString(a.stdout, text)
	return err
}

// longestProfile is more than flash reads of one, so that it is flash who says what is too long.
const longestProfile = 1 << 20

// readProfile reads one file as recipes would beside them.
func readProfile(file string) (*flash.Part, error) {
	info, err := os.Stat(file)
	var path *fs.PathError
	switch {
	case errors.As(err, &path):
		return nil, path.Err
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("it is a directory")
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no file")
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, longestProfile))
	if err != nil {
		return nil, err
	}
	return flash.ParseUserPart(text)
}

// problems are the lines of what is wrong, one mistake each.
func problems(err error) (out []string) {
	if err == nil {
		return nil
	}
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}
