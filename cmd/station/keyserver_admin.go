package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"station/keyserver"
)

type enrolledJSON struct {
	Station string    `json:"station"`
	Until   time.Time `json:"until"`
	Key     string    `json:"key"` // files
	Cert    string    `json:"cert"`
	CA      string    `json:"ca"`
}

func (a *app) keyServerEnrol() *cobra.Command {
	var out, who string
	var days int
	c := &cobra.Command{
		Use:   "enrol STATION --out DIR",
		Short: "Make a station's certificate and its key, to be carried to the station",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if days < 1 || days > 3650 {
				return exit(exitRefused, fmt.Errorf("--days %d: 1 to 3650", days))
			}
			files := map[string]string{"key": filepath.Join(out, "station.key"), "cert": filepath.Join(out, "station.pem"), "ca": filepath.Join(out, "ca.pem")}
			for _, path := range files {
				if _, err := os.Lstat(path); err == nil {
					return exit(exitRefused, fmt.Errorf("%s is there already, and is not replaced: name another --out", path))
				}
			}
			if err := os.MkdirAll(out, 0o700); err != nil {
				return exit(exitError, err)
			}
			public, private, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				return exit(exitError, err)
			}
			defer clear(private)
			pkix, err := x509.MarshalPKIXPublicKey(public)
			if err != nil {
				return exit(exitError, err)
			}
			secret, err := x509.MarshalPKCS8PrivateKey(private)
			if err != nil {
				return exit(exitError, err)
			}
			defer clear(secret)
			var made keyserver.EnrolAnswer
			if err := a.admin(c.Context(), keyserver.RouteEnrol, keyserver.EnrolRequest{Station: args[0], Public: pkix, Hours: 24 * days, By: who}, &made); err != nil {
				return err
			}
			err = errors.Join(writePEM(files["key"], "PRIVATE KEY", secret, 0o600), writePEM(files["cert"], "CERTIFICATE", made.Certificate, 0o644), writePEM(files["ca"], "CERTIFICATE", made.CA, 0o644))
			if err != nil {
				return exit(exitError, err)
			}
			leaf, err := x509.ParseCertificate(made.Certificate)
			if err != nil {
				return exit(exitError, err)
			}
			return a.say(enrolledJSON{args[0], leaf.NotAfter.UTC(), files["key"], files["cert"], files["ca"]},
				"station %s may ask this key server until %s. Carry %s to it, and put into its config.yaml:\nkey_server: {url: \"https://HOST:PORT\", ca: ca.pem, cert: station.pem, key: station.key}\n",
				args[0], leaf.NotAfter.UTC().Format(time.DateOnly), out)
		},
	}
	c.Flags().StringVar(&out, "out", "", "`DIR`ectory for station.key, station.pem and ca.pem")
	c.Flags().IntVar(&days, "days", 365*keyserver.DefaultYears, "how many `DAYS` the certificate holds")
	by(c, &who)
	c.MarkFlagRequired("out")
	return c
}

// aboutStation is a command that says something of a station, and why.
func (a *app) aboutStation(use, short, route, said string) *cobra.Command {
	var reason, who string
	c := &cobra.Command{
		Use: use + " STATION", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			about := keyserver.AboutStation{Station: args[0], Reason: reason, By: who}
			if err := a.admin(c.Context(), route, about, &struct{}{}); err != nil {
				return err
			}
			return a.say(about, said+"\n", args[0])
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the ledger")
	by(c, &who)
	c.MarkFlagRequired("reason")
	return c
}

func (a *app) keyServerRevoke() *cobra.Command {
	return a.aboutStation("revoke", "End all certificates of a station, at once", keyserver.RouteRevoke, "the certificates of station %s count no more")
}

func (a *app) keyServerRewound() *cobra.Command {
	return a.aboutStation("rewound", "Let a station's ledger go on that was restored from a copy", keyserver.RouteRewound, "the next checkpoint of station %s may be of fewer entries than the last one, or of very many more")
}

func (a *app) keyServerAllow() *cobra.Command {
	var station, who string
	var units, withdraw int
	var masters []string
	c := &cobra.Command{
		Use:   "allow RECIPE --station ID --units N | --withdraw N",
		Short: "Let a station have keys and signed commands of a recipe for so many more chips, or fewer",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			recipe, err := loadRecipe(args[0])
			if err != nil {
				return err
			}
			var now keyserver.Allowance
			if c.Flags().Changed("withdraw") {
				err = a.admin(c.Context(), keyserver.RouteWithdraw, keyserver.WithdrawRequest{Station: station, Digest: recipe.Digest(), Units: withdraw, By: who}, &now)
			} else {
				err = a.admin(c.Context(), keyserver.RouteAllow, keyserver.AllowRequest{Station: station, Job: keyserver.JobOf(recipe), Units: units, Masters: masters, By: who}, &now)
			}
			if err != nil {
				return err
			}
			return a.say(now, "station %s may do %d chips by %s version %d (%s), and has done %d\n", now.Station, now.Units, now.Recipe, now.Version, now.Digest, now.Used)
		},
	}
	f := c.Flags()
	f.StringVar(&station, "station", "", "`ID` of the station")
	f.IntVar(&units, "units", 0, "how many more chips")
	f.IntVar(&withdraw, "withdraw", 0, "take so many chips back, as far as they are not done")
	f.StringArrayVar(&masters, "master", nil, "`NAME` of a master key that may be used; repeat for more (default: those that the recipe needs)")
	by(c, &who)
	c.MarkFlagRequired("station")
	c.MarkFlagsOneRequired("units", "withdraw")
	c.MarkFlagsMutuallyExclusive("units", "withdraw")
	c.MarkFlagsMutuallyExclusive("master", "withdraw")
	return c
}

func (a *app) keyServerList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Stations, allowances and master keys, never the keys", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var l keyserver.List
			if err := a.admin(c.Context(), keyserver.RouteList, struct{}{}, &l); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(l)
			}
			rows := [][]string{{"STATION", "CERTIFICATES UNTIL", "CHECKPOINT"}}
			for _, s := range l.Stations {
				until := "revoked"
				if len(s.Certificates) > 0 {
					until = strings.Join(s.Certificates, ", ")
				}
				rows = append(rows, []string{s.Station, until, strconv.FormatInt(s.Checkpoint, 10)})
			}
			if err := a.printTable(rows); err != nil {
				return err
			}
			rows = [][]string{{"STATION", "RECIPE", "CHIPS", "MASTERS"}}
			for _, w := range l.Allowances {
				rows = append(rows, []string{w.Station, fmt.Sprintf("%s %d %s", w.Recipe, w.Version, w.Digest), fmt.Sprintf("%d of %d", w.Used, w.Units), strings.Join(w.Masters, ", ")})
			}
			if err := a.printTable(rows); err != nil {
				return err
			}
			rows = [][]string{{"MASTER", "FINGERPRINT", ""}}
			for _, m := range l.Masters {
				state := strings.ToUpper(m.Fault)
				if m.Retired {
					state = strings.TrimPrefix(state+", retired", ", ")
				}
				rows = append(rows, []string{m.Name, m.Fingerprint, state})
			}
			return a.printTable(rows)
		},
	}
}

func (a *app) keyServerKey() *cobra.Command {
	c := &cobra.Command{Use: "key", Short: "The master keys of the key server"}
	var from, who, reason, whose string
	create := &cobra.Command{
		Use: "create NAME", Short: "Make a master key, or bring one along", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			q := keyserver.KeyRequest{Name: args[0], By: who}
			if from != "" {
				value, err := a.keyValue(from)
				if err != nil {
					return exit(exitRefused, err)
				}
				defer clear(value)
				q.Value = value
			}
			var m keyserver.Master
			if err := a.admin(c.Context(), keyserver.RouteKeyCreate, q, &m); err != nil {
				return err
			}
			return a.say(m, "master key %s is made, fingerprint %s\n", m.Name, m.Fingerprint)
		},
	}
	create.Flags().StringVar(&from, "from", "", "the key is in this `FILE`, mode 0600, or - for standard input: 32 bytes, or 64 hex digits (default: a random one)")
	by(create, &who)
	retire := &cobra.Command{
		Use: "retire NAME", Short: "Make nothing with a master key any more", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var m keyserver.Master
			if err := a.admin(c.Context(), keyserver.RouteKeyRetire, keyserver.KeyRequest{Name: args[0], Reason: reason, By: whose}, &m); err != nil {
				return err
			}
			return a.say(m, "master key %s is retired\n", m.Name)
		},
	}
	retire.Flags().StringVar(&reason, "reason", "", "why, for the ledger")
	by(retire, &whose)
	retire.MarkFlagRequired("reason")
	c.AddCommand(create, retire)
	return c
}

// keyValue reads a key that was made elsewhere; "-" is standard input. Its caller wipes it.
func (a *app) keyValue(from string) ([]byte, error) {
	if from == "-" {
		return keyValueFrom(a.stdin, "standard input")
	}
	return readKeyValue(from)
}
