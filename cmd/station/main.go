// Command station is the front door: it reads the configuration, opens the rooms, and carries out one subcommand,
// each in a file of its own. It contains no rules: what may be done to a unit is decided in provision, what a recipe
// may say in recipes, what a chip can do in flash.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"station/provision"
	"station/yamltext"
)

// Exit codes, a contract with scripts. Of several the first of 130, 4, 3, 1, 2 wins.
const (
	exitDone     = 0   // all done, all passed
	exitNo       = 1   // the answer is no: FAIL, or a verification failed
	exitRefused  = 2   // REFUSED, or wrong input; nothing was touched there
	exitError    = 3   // ERROR: the station, not the unit
	exitDecision = 4   // a person must decide
	exitAborted  = 130 // stopped by the user
)

// exitErr is an error with its exit code. A nil err prints nothing more: the command said it all.
type exitErr struct {
	code int
	err  error
}

func (e *exitErr) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitErr) Unwrap() error { return e.err }

func exit(code int, err error) error { return &exitErr{code, err} }

func main() {
	// A core file would hold the secrets that are in memory. Where the limit cannot be lowered it was 0 before.
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	// Whoever reads our output may go away; the boards stay. A write then fails, and nothing else.
	signal.Ignore(syscall.SIGPIPE)
	debug.SetGCPercent(provision.GCPercent)
	os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Main carries out one command line and returns its exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() { // behind what gives the slots back
		if p := recover(); p != nil {
			tellPanic(stderr, &provision.PanicError{Value: p, Stack: debug.Stack()})
			code = exitError
		}
	}()
	ctx, stop := stopped()
	defer stop()

	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	// What cobra itself complains about is wrong input; every failure of ours says its own code, but for output that
	// cannot be written.
	code = exitRefused
	var e *exitErr
	switch {
	case errors.As(err, &e):
		code = e.code
		if e.err == nil {
			return code
		}
	case errors.As(err, new(*fs.PathError)):
		code = exitError
	}
	for line := range strings.SplitSeq("station: "+err.Error(), "\n") { // a configuration is shown where it is wrong
		printf(stderr, "%s\n", line)
	}
	return code
}

// stopped is a context that the first signal to stop cancels. The next one ends the program at once. Go would end it with the code of a refusal at SIGQUIT; SIGABRT is
// left to whoever wants to know where it hangs.
func stopped() (context.Context, context.CancelFunc) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT}
	if !signal.Ignored(syscall.SIGHUP) { // by nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan os.Signal, 2)
	signal.Notify(got, signals...)
	go func() {
		for range got {
			if ctx.Err() != nil {
				os.Exit(exitAborted)
			}
			cancel()
		}
	}()
	return ctx, func() {
		signal.Stop(got)
		close(got)
		cancel()
	}
}

// app is what every subcommand shares.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	configFile     string
	dataDir        string
	json           bool
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "station",
		Short:         "Provision serial NOR flash on a production line, and prove what was done",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	f := root.PersistentFlags()
	f.StringVar(&a.configFile, "config", "", "configuration `FILE` (default ./config.yaml, or the built-in one where there is none)")
	f.StringVar(&a.dataDir, "data", "", "data `DIR`ectory (default: what the configuration says)")
	f.BoolVar(&a.json, "json", false, "print facts as JSON")
	root.AddCommand(a.demo(), a.init(), a.serve(), a.status(), a.run(), a.recipe(), a.part(), a.chip(), a.unit(), a.audit(), a.escrow(), a.key(), a.keyServer(), a.backup(), a.restore(), a.slot(), a.user(), a.bench(), a.doctor(), a.sim(), a.version())
	helpGroups(root)
	// The flags of a command that is misspelt are no flags of its group: it is the name that is wrong.
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if words := c.Flags().Args(); c.HasSubCommands() && len(words) > 0 {
			return noWords(c, words)
		}
		return err
	})
	return root
}

// helpGroups has every command that is a group show its commands, and refuse what is none.
func helpGroups(group *cobra.Command) {
	if !group.HasSubCommands() {
		return
	}
	group.Args = noWords
	group.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	for _, c := range group.Commands() {
		helpGroups(c)
	}
}

// noWords refuses what is none of the commands of a group.
func noWords(c *cobra.Command, words []string) error {
	if len(words) == 0 {
		return nil
	}
	var names []string
	for _, sub := range c.Commands() {
		names = append(names, sub.Name())
	}
	err := fmt.Errorf("unknown command %q for %q", words[0], c.CommandPath())
	if near := yamltext.Nearest(words[0], names); near != "" {
		return fmt.Errorf("%w: did you mean %s?", err, near)
	}
	return fmt.Errorf("%w: its commands are %s", err, strings.Join(names, ", "))
}

// software is the program's name and version, as entries quote it.
func software() string {
	v := "devel"
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" && info.Main.Version != "(devel)" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 && v == "devel" {
				v = s.Value[:12]
			}
		}
	}
	return "station " + v
}
