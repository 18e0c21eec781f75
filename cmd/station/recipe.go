package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"station/recipes"
	"station/yamltext"
)

func (a *app) recipe() *cobra.Command {
	c := &cobra.Command{Use: "recipe", Short: "What the recipe author needs"}
	c.AddCommand(a.recipeCheck(), a.recipePlan(), a.recipePin())
	return c
}

type checkJSON struct {
	File     string             `json:"file"`
	OK       bool               `json:"ok"`
	Recipe   string             `json:"recipe"`
	Version  int                `json:"version"`
	Digest   string             `json:"digest"`
	Problems []yamltext.Problem `json:"problems"`
	Warnings []string           `json:"warnings"`
}

func (a *app) recipeCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check RECIPE ...",
		Short: "Show every mistake in recipes, each at its place",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			code := exitDone
			for _, file := range args {
				c, err := a.check(file)
				if err != nil {
					return err
				}
				code = worse(code, c)
			}
			if code != exitDone {
				return exit(code, nil)
			}
			return nil
		},
	}
}

func (a *app) check(file string) (code int, err error) {
	j := checkJSON{File: file, Problems: []yamltext.Problem{}, Warnings: []string{}}
	r, err := recipes.Load(file)
	var mistakes *yamltext.Errors
	switch {
	case err == nil:
		j.OK, j.Recipe, j.Version, j.Digest = true, r.ID(), r.Version(), r.Digest()
		j.Warnings = append(j.Warnings, r.Warnings()...)
	case errors.As(err, &mistakes):
		j.Problems, code = mistakes.Problems, exitRefused
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, recipes.ErrParts):
		return exitRefused, exit(exitRefused, err)
	default:
		return exitError, exit(exitError, err)
	}
	if a.json {
		return code, a.printLine(j)
	}
	if mistakes != nil {
		fmt.Fprintf(a.stderr, "%v\n", mistakes)
		return code, nil
	}
	fmt.Fprintf(a.stdout, "%s: recipe %s version %d is right\n  digest %s\n", file, j.Recipe, j.Version, j.Digest)
	for _, w := range j.Warnings {
		fmt.Fprintf(a.stdout, "  warning: %s\n", w)
	}
	return code, nil
}

func (a *app) recipePlan() *cobra.Command {
	var part string
	var clock float64
	c := &cobra.Command{
		Use:   "plan RECIPE",
		Short: "Show what a recipe will do to a chip: operations, rounded ranges, time, what is permanent",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if clock <= 0 || clock > 200 {
				return exit(exitRefused, fmt.Errorf("--clock %g: want MHz, above 0 and up to 200", clock))
			}
			r, err := loadRecipe(args[0])
			if err != nil {
				return err
			}
			found := false
			for _, p := range r.Parts() {
				if part != "" && p.Name != part {
					continue
				}
				if found && !a.json {
					fmt.Fprintln(a.stdout)
				}
				found = true
				plan, err := r.Plan(p, time.Duration(8/clock*float64(time.Microsecond)))
				if err != nil {
					return exit(exitError, err)
				}
				if a.json {
					err = a.printLine(plan)
				} else {
					err = plan.Print(a.stdout)
				}
				if err != nil {
					return err
				}
			}
			if !found {
				return exit(exitRefused, fmt.Errorf("the recipe is not for part %s", part))
			}
			return nil
		},
	}
	c.Flags().StringVar(&part, "part", "", "plan for this `PART` only (default: every part of the recipe)")
	c.Flags().Float64Var(&clock, "clock", 15, "SPI clock in `MHz`, for the times")
	return c
}

func (a *app) recipePin() *cobra.Command {
	return &cobra.Command{
		Use:   "pin RECIPE",
		Short: "Write the digests of a recipe's images into it",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			changed, err := recipes.Pin(args[0])
			if err != nil {
				return exit(exitRefused, fmt.Errorf("nothing was pinned\n%w", err))
			}
			if a.json {
				return a.printJSON(append([]recipes.Pinned{}, changed...))
			}
			if len(changed) == 0 {
				fmt.Fprintln(a.stdout, "every digest was right already")
			}
			for _, p := range changed {
				fmt.Fprintf(a.stdout, "%s (%s): sha256 %s\n", p.Image, p.File, p.New)
			}
			return nil
		},
	}
}
