package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"station/kiosk"
	"station/ledger"
)

// stationSocket is where the commands of this PC ask the station at work: a stream socket in the data directory, for the same user and root.
const stationSocket = "station.sock"

// ownListen is where the page is where the configuration does not say.
const ownListen = "127.0.0.1:8080"

type servingJSON struct {
	URL         string `json:"url"`
	Certificate string `json:"certificate,omitempty"` // SHA-256 of it, as browsers show it
	SetUp       string `json:"set_up,omitempty"`      // code for the first user
}

func (a *app) serve() *cobra.Command {
	var listen string
	var simHands bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Work as the station of a line position: the operator's page, its API, and what the slots do",
		Long: "Work as the station of a line position until stopped: the operator's page and its API on the address that `listen` of the configuration names, HTTPS where that is not this PC alone.\n" +
			"Commands of this PC find it by the data directory. Where nobody may sign in yet, what is printed is the code for the first user; a simulated station that answers this PC alone needs none.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			cfg.Listen = cmp.Or(listen, cfg.Listen, ownListen)
			b, err := a.openWith(c.Context(), cfg)
			if err != nil {
				return err
			}
			defer b.Close()
			if simHands && !b.simulated {
				return exit(exitRefused, errors.New("--sim-hands is for simulated stations; this one is real"))
			}
			b.offerBackups()
			return a.serveFrom(c.Context(), b, simHands)
		},
	}
	f := c.Flags()
	f.StringVar(&listen, "listen", "", "`ADDRESS` of the page, such as 127.0.0.1:8080 (default: what the configuration says)")
	f.BoolVar(&simHands, "sim-hands", false, "boards are moved by codes between the scanned ones, 'in SLOT=SERIAL' and 'out SLOT', and stay where they are otherwise (simulated stations only)")
	return c
}

// serveFrom serves until ctx is over, and then lets the runs under way end, ABORTED.
func (a *app) serveFrom(ctx context.Context, b *bench, simHands bool) error {
	host, _, err := net.SplitHostPort(b.config.Listen)
	if err != nil {
		return exit(exitRefused, fmt.Errorf("listen %q is not an address such as %s", b.config.Listen, ownListen))
	}
	people, err := kiosk.OpenPeople(peopleFile(b.data), func(ctx context.Context, body ledger.Body) error {
		if err := b.db.Writable(); err != nil {
			return conflict(ledgerBroken(err))
		}
		_, err := b.db.Append(ctx, body)
		return err
	})
	if err != nil {
		return exit(exitError, err)
	}
	o := kiosk.Options{
		People: people, Language: b.config.Page.Language, Badge: regexp.MustCompile(b.config.Page.Badge), Log: slog.New(slog.NewTextHandler(a.stderr, nil)),
		Scanner: b.config.Page.Scanner.kiosk(),
		Open:    b.simulated && isLoopback(host),
	}
	said := servingJSON{}
	var secure *tls.Config
	if !isLoopback(host) || b.config.Page.TLS.Cert != "" {
		if secure, o.Hosts, said.Certificate, err = b.config.pageTLS(host, time.Now()); err != nil {
			return err
		}
		o.TLS = true
	}
	if people.None() && !o.Open {
		o.SetUp = setUpCode()
		said.SetUp = o.SetUp
	}
	network, err := net.Listen("tcp", b.config.Listen)
	if err != nil {
		return exit(exitError, fmt.Errorf("the page cannot be served (%w): `listen` names an address of this PC that no other program has", err))
	}
	defer network.Close()
	said.URL = urlOf(network.Addr(), host, o.TLS)
	socket, err := listenSocket(b.data, stationSocket)
	if err != nil {
		return exit(exitError, err)
	}
	defer socket.Close()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	wall := kiosk.NewWall(kiosk.WallOptions{Station: b.config.Station, Simulated: b.simulated, Started: time.Now(), Rows: b.config.Page.Rows, Excluded: b.config.excluded()})
	floor, err := a.newFloor(ctx, b, wall, b.config.Page.Recipes, simHands)
	if err != nil {
		return err
	}
	o.Station, o.Records, o.Wall, o.Direct = floor, b.records(floor.alone), wall, floor.direct
	server := kiosk.New(o)
	network = server.Listen(network)
	if secure != nil {
		network = tls.NewListener(network, secure) // outermost: net/http sees by its connections that a handshake is to come, and how long it may take
	}
	if err := a.printServing(said); err != nil {
		return err
	}
	// The pages show how the runs end, and then are let go.
	over, end := context.WithCancel(context.Background())
	aborted := make(chan bool, 1)
	go func() {
		defer crashed(a.stderr)
		defer end()
		defer wall.Close()
		defer close(aborted)
		aborted <- floor.wait()
	}()
	err = serveBoth(over, server.HTTP(server.Handler()), network, server.HTTP(server.Local()), socket)
	stop()
	switch was := <-aborted; {
	case err != nil && !errors.Is(err, context.DeadlineExceeded): // who does not go in time is cut off
		return exit(exitError, err)
	case was:
		return exit(exitAborted, nil)
	}
	return nil
}

func (a *app) printServing(j servingJSON) error {
	if a.json {
		return a.printLine(j)
	}
	if _, err := printf(a.stdout, "listening on %s\n", j.URL); err != nil {
		return err
	}
	if j.Certificate != "" {
		printf(a.stdout, "certificate SHA-256 %s\n", j.Certificate)
	}
	if j.SetUp != "" {
		printf(a.stdout, "nobody may sign in yet: the first user is made at %s/setup with the code %s, or by `station user add`\n", j.URL, j.SetUp)
	}
	return nil
}

// setUpCode is for people to read and type.
func setUpCode() string {
	text := rand.Text()
	return text[:4] + "-" + text[4:8] + "-" + text[8:12]
}

// isLoopback tells whether what listens at a host answers this PC alone.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// urlOf is what a browser opens to reach what listens at a host, "" for all of this PC's.
func urlOf(at net.Addr, host string, secure bool) string {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	_, port, _ := net.SplitHostPort(at.String())
	return scheme + "://" + net.JoinHostPort(host, port)
}
