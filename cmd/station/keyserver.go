package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"station/keyserver"
	"station/store"
)

// Where things are in a key server's directory, besides its ledger and its keys.
const ownKeyServer = "keyserver" // the directory where no other is named

func keyServerFile(dir string) string { return filepath.Join(dir, "keyserver.yaml") }
func caFile(dir string) string        { return filepath.Join(dir, "ca.pem") }
func jobsDir(dir string) string       { return filepath.Join(dir, "jobs") }

const adminSocket = "admin.sock" // in the directory

func (a *app) keyServer() *cobra.Command {
	c := &cobra.Command{Use: "keyserver", Short: "The on-site key server: keys of stations, lent by allowance, and commands signed for chips"}
	c.AddCommand(a.keyServerInit(), a.keyServerServe(), a.keyServerEnrol(), a.keyServerAllow(), a.keyServerList(), a.keyServerRevoke(), a.keyServerRewound(), a.keyServerKey())
	return c
}

// keyServerDir is the directory of the key server.
func (a *app) keyServerDir() string { return cmp.Or(a.dataDir, ownKeyServer) }

type keyServerJSON struct {
	Data   string   `json:"data"`
	ID     string   `json:"id"`
	Listen string   `json:"listen"`
	Names  []string `json:"names"`
}

func (a *app) keyServerInit() *cobra.Command {
	var id, listen string
	var names []string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make a key server's directory: configuration, keys, certificate authority and ledger",
		Long: "Make a key server's directory: configuration, keys, certificate authority and ledger.\n\n" +
			"Where the directory has a keyserver.yaml, that one counts: write it first to have the keys in a token or under a passphrase.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir := a.keyServerDir()
			if _, err := os.Stat(ledgerFile(dir)); err == nil {
				return exit(exitRefused, fmt.Errorf("%s is a key server's directory already; nothing was changed", dir))
			}
			text, path := keyServerText(id, listen, names), keyServerFile(dir)
			if had, err := os.ReadFile(path); errors.Is(err, fs.ErrNotExist) {
				if err := checkKeyServerConfig(path, text); err != nil {
					return exit(exitRefused, fmt.Errorf("no key server can have these; nothing was made\n%w", err))
				}
			} else if !bytes.Equal(had, text) && slices.ContainsFunc([]string{"id", "listen", "name"}, c.Flags().Changed) {
				return exit(exitRefused, fmt.Errorf("%s is there, and it alone counts: change it, and leave --id, --listen and --name out", path))
			}
			if err := os.MkdirAll(jobsDir(dir), 0o700); err != nil {
				return exit(exitError, err)
			}
			if err := writeNew(path, text); err != nil && !errors.Is(err, fs.ErrExist) {
				return exit(exitError, err)
			}
			cfg, err := readKeyServerConfig(dir)
			if err != nil {
				return err
			}
			if err := initKeyServer(dir, cfg); err != nil {
				return err
			}
			return a.say(keyServerJSON{dir, cfg.ID, cfg.Listen, cfg.Names}, "%s is ready: key server %s, for %s on %s; %s says more\n", dir, cfg.ID, strings.Join(cfg.Names, ", "), cfg.Listen, keyServerFile(dir))
		},
	}
	f := c.Flags()
	f.StringVar(&id, "id", "keys1", "`ID` of the key server: lower-case letters, digits and dashes")
	f.StringVar(&listen, "listen", "127.0.0.1:8443", "`ADDRESS` on which stations are served")
	f.StringArrayVar(&names, "name", []string{"localhost", "127.0.0.1"}, "`NAME` or address by which stations call this PC; repeat for more")
	return c
}

func (a *app) keyServerServe() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Serve stations until stopped",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir := a.keyServerDir()
			ks, err := a.openKeyServer(dir)
			if err != nil {
				return err
			}
			defer ks.Close()
			network, err := tls.Listen("tcp", ks.config.Listen, ks.tls)
			if err != nil {
				return exit(exitError, fmt.Errorf("stations cannot be served (%w): `listen:` in %s is an address of this PC that no other program has", err, keyServerFile(dir)))
			}
			defer network.Close()
			socket, err := listenSocket(dir, adminSocket)
			if err != nil {
				return exit(exitError, err)
			}
			defer socket.Close()
			if end := offerBackups(a.stderr, dir, ks.db); end != nil {
				defer end()
			}
			printf(a.stdout, "listening on %s\n", network.Addr())
			if err := serveBoth(c.Context(), keyserver.NewHTTPServer(ks.server, ks.tell), network, keyserver.NewHTTPServer(ks.server.Admin(), ks.tell), socket); err != nil {
				return exit(exitError, err)
			}
			return nil
		},
	}
}

// admin asks the key server of this PC: the one that serves, or, where none does, one that is opened for it.
func (a *app) admin(ctx context.Context, route string, in, out any) error {
	dir := a.keyServerDir()
	err := keyserver.DialAdmin(func(ctx context.Context) (net.Conn, error) { return dialSocket(ctx, dir, adminSocket) }).Call(ctx, route, in, out)
	var refused *keyserver.Error
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		ks, openErr := a.openKeyServer(dir)
		if openErr != nil {
			return openErr
		}
		err = errors.Join(ks.server.Here().Call(ctx, route, in, out), ks.Close())
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && refused.Cause != keyserver.CauseServer:
		return exit(exitRefused, err)
	}
	return exit(exitError, err)
}

// by is the flag that names who did something at the key server.
func by(c *cobra.Command, into *string) {
	c.Flags().StringVar(into, "by", cmp.Or(os.Getenv("STATION_OPERATOR"), "unnamed"), "pseudonymous id of the `PERSON` who does this; recorded as unauthenticated")
}

func keyServerErr(dir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return exit(exitRefused, fmt.Errorf("%s is not a key server's directory: run `station keyserver init` first", dir))
	case errors.Is(err, store.ErrMismatch):
		return exit(exitRefused, err)
	}
	return exit(exitError, err)
}
