package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"station/keyring"
	"station/provision"
	"station/recipes"
	"station/store"
)

const demoBoards = 8

func (a *app) demo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Provision eight simulated boards in four slots at once, with ledger and reports",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if a.configFile != "" {
				return exit(exitRefused, errors.New("the demo runs on the built-in configuration; leave --config out"))
			}
			if a.dataDir == "" {
				a.dataDir = "demo-data"
			}
			return a.runDemo(c.Context())
		},
	}
}

func (a *app) runDemo(ctx context.Context) error {
	cfg, err := a.builtInConfig()
	if err != nil {
		return err
	}
	if _, err := os.Stat(ledgerFile(cfg.Data)); errors.Is(err, os.ErrNotExist) {
		if err := initialise(cfg.Data, cfg, true); err != nil {
			return err
		}
	}
	simulated, err := isSimulated(cfg.Data)
	if err != nil {
		return ledgerErr(cfg.Data, err)
	}
	if !simulated {
		return exit(exitRefused, fmt.Errorf("%s belongs to a real station; the demo never touches it", cfg.Data))
	}
	recipeDir := filepath.Join(cfg.Data, "recipes")
	if err := recipes.Unpack(recipeDir); err != nil {
		return exit(exitError, err)
	}
	recipe, err := loadRecipe(filepath.Join(recipeDir, "gateway-boot.yaml"))
	if err != nil {
		return err
	}
	recipient, err := demoAuditor(cfg.Data)
	if err != nil {
		return exit(exitError, err)
	}
	cfg.Escrow = []escrowGroup{{Name: "audit", Recipients: []string{recipient}}}
	b, err := a.openWith(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := demoMaster(b, recipe); err != nil {
		return exit(exitError, err)
	}
	if err := a.tellOpenRuns(b, nil); err != nil {
		return err
	}
	first, err := freshSerial(b.db)
	if err != nil {
		return exit(exitError, err)
	}
	watch, done := a.watch(ctx)
	results, err := a.feed(ctx, b, recipe, first, watch)
	done()
	if err != nil {
		return err
	}
	if err := a.conclude(results); err != nil {
		return err
	}
	j, err := verifyLedger(ctx, b.db)
	if err != nil {
		return err
	}
	if !a.json {
		if err := a.printAudit(j); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "the auditor's identity of this demo opens every secret: station escrow open %s --data %s --identity %s\n",
			results[0].Serial, cfg.Data, identityFile(cfg.Data))
		fmt.Fprintf(a.stdout, "%d boards passed; their reports are in %s\n", len(results), reportsDir(cfg.Data))
	}
	if !j.OK {
		return exit(exitNo, nil)
	}
	return nil
}

// feed does what an operator does: whichever slot is free gets the next board.
func (a *app) feed(ctx context.Context, b *bench, recipe *recipes.Recipe, first int, watch func(provision.Event)) ([]outcome, error) {
	next := make(chan int)
	go func() {
		defer close(next)
		for i := range demoBoards {
			next <- i
		}
	}()
	results := make([]outcome, demoBoards)
	errs := make([]error, demoBoards)
	engine := b.engine(ctx, watch)
	j := job{recipe: recipe, operator: "demo"}
	var wg sync.WaitGroup
	for _, s := range b.config.Slots {
		wg.Go(func() {
			defer crashed(a.stderr)
			for i := range next {
				p := pair{s.Name, fmt.Sprintf("GW-%06d", first+i)}
				if errs[i] = b.insert(recipe, []pair{p}, nil); errs[i] == nil {
					results[i] = b.provisionOne(ctx, engine, j.order(p, map[string]string{"mac": fmt.Sprintf("020000%06X", first+i)}))
				}
			}
		})
	}
	wg.Wait()
	return results, errors.Join(errs...)
}

// demoMaster makes the master keys that the recipe derives root keys from.
func demoMaster(b *bench, recipe *recipes.Recipe) error {
	for _, s := range recipe.Steps() {
		if k, ok := s.(recipes.RootKey); ok && k.Derive != "" {
			if err := b.secrets.keys.(masterMaker).CreateMaster(k.Derive, nil); err != nil && !errors.Is(err, keyring.ErrExists) {
				return err
			}
		}
	}
	return nil
}

// freshSerial is the number after the highest that the ledger knows, so that every demo has new boards.
func freshSerial(db *store.DB) (int, error) {
	highest := 0
	for q := (store.UnitQuery{}); ; {
		units, next, err := db.Units(q)
		if err != nil {
			return 0, err
		}
		for _, u := range units {
			if n, err := strconv.Atoi(strings.TrimPrefix(u.Serial, "GW-")); err == nil {
				highest = max(highest, n)
			}
		}
		if q.Cursor = next; next == "" {
			return highest + 1, nil
		}
	}
}
