package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v4"

	root "station"
	"station/fixtures"
	"station/keyring"
	"station/yamltext"
)

// config is what config.yaml says: facts about this station, never flow.
type config struct {
	Station   string
	Data      string // absolute, or relative to the working directory
	Listen    string
	Slots     []slot
	Escrow    []escrowGroup
	AllowRaw  bool   `mapstructure:"allow_raw"` // recipes with raw steps may run
	Mirror    string `mapstructure:"-"`         // directory, absolute or relative to the working directory; "" for none
	Keys      keysConfig
	KeyServer *keyServerConfig `mapstructure:"key_server"` // nil for none
	Page      pageConfig

	tell func(string) // told what becomes of the mirror
}

// escrowGroup is a name that recipes seal secrets to, and the age recipients behind it.
type escrowGroup struct {
	Name       string
	Recipients []string
}

type slot struct {
	Name, Port, Channel, Volts, Power, Clock string
	HoldReset                                bool `mapstructure:"hold_reset"`
	Excluded                                 bool // never opened, and takes no boards
}

// ownConfig is the configuration where no other is named, in the working directory.
const ownConfig = "config.yaml"

// config reads the configuration: flags win over the environment (STATION_DATA, STATION_LISTEN), and that over the file.
func (a *app) config() (*config, error) {
	path := cmp.Or(a.configFile, ownConfig)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && a.configFile == "" {
		return a.builtInConfig()
	}
	if err != nil {
		return nil, exit(exitRefused, fmt.Errorf("configuration: %w", err))
	}
	return a.parseConfig(path, text, filepath.Dir(path))
}

func (a *app) builtInConfig() (*config, error) {
	return a.parseConfig("built-in config.yaml", root.DefaultConfig, "")
}

func (a *app) parseConfig(name string, text []byte, dir string) (*config, error) {
	if err := checkConfig(name, text); err != nil {
		return nil, exit(exitRefused, fmt.Errorf("this configuration cannot be used\n%w", err))
	}
	v := viper.New()
	v.SetConfigType("yaml")
	v.SetEnvPrefix("STATION")
	err := errors.Join(v.ReadConfig(bytes.NewReader(text)), v.BindEnv("data"), v.BindEnv("listen"))
	if err != nil {
		return nil, exit(exitRefused, fmt.Errorf("configuration: %w", err))
	}
	fromFile := a.dataDir == "" && os.Getenv("STATION_DATA") == ""
	if a.dataDir != "" {
		v.Set("data", a.dataDir)
	}
	var c config
	if err := v.Unmarshal(&c); err != nil {
		return nil, exit(exitRefused, fmt.Errorf("configuration: %w", err))
	}
	if fromFile && !filepath.IsAbs(c.Data) {
		c.Data = filepath.Join(dir, c.Data)
	}
	if c.Mirror = v.GetString("mirror.dir"); c.Mirror != "" && !filepath.IsAbs(c.Mirror) {
		c.Mirror = filepath.Join(dir, c.Mirror)
	}
	c.Keys.resolve(dir)
	if c.KeyServer != nil {
		c.KeyServer.resolve(dir)
	}
	c.Page.resolve(dir, c.Slots)
	c.tell = func(line string) { printf(a.stderr, "MIRROR: %s\n", line) }
	return &c, nil
}

// data is the data directory alone, for commands that need no slots.
func (a *app) data() (string, error) {
	if a.dataDir != "" {
		return a.dataDir, nil
	}
	c, err := a.config()
	if err != nil {
		return "", err
	}
	return c.Data, nil
}

// usable are the names of the slots that take boards, in their order.
func (c *config) usable() (names []string) {
	for _, s := range c.Slots {
		if !s.Excluded {
			names = append(names, s.Name)
		}
	}
	return names
}

// excluded are the names of the others.
func (c *config) excluded() (names []string) {
	for _, s := range c.Slots {
		if s.Excluded {
			names = append(names, s.Name)
		}
	}
	return names
}

func (c *config) rackSlots() []fixtures.Slot {
	out := make([]fixtures.Slot, len(c.Slots))
	for i, s := range c.Slots {
		out[i] = fixtures.Slot(s)
	}
	return out
}

var stationForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// checkConfig finds every mistake in a configuration, at its place. Viper reads it afterwards, but knows neither
// lines nor keys that are not there.
func checkConfig(name string, text []byte) error {
	// No message may show the lines around it, so this one stands alone.
	if i := bytes.Index(bytes.ToUpper(text), []byte("AGE-SECRET-KEY-")); i >= 0 {
		return fmt.Errorf("%s:%d: an age identity is its owner's secret and never belongs on a station: "+
			"put the recipient there, which `age-keygen -y IDENTITY` prints, and use this identity no more", name, 1+bytes.Count(text[:i], []byte("\n")))
	}
	pg := yamltext.New(name, "configuration", text)
	doc := pg.Document()
	if doc == nil {
		return pg.Err()
	}
	top, _ := pg.Group(doc, doc, "the configuration", []string{"station", "data", "slots"}, []string{"listen", "escrow", "mirror", "keys", "key_server", "page", "allow_raw"}, nil)
	check := func(key, what string, wrong func(string) string) {
		f, ok := top[key]
		if !ok {
			return
		}
		if text, ok := pg.Text(f.Value, what); ok {
			if message := wrong(text); message != "" {
				pg.At(f.Value, message, "")
			}
		}
	}
	check("station", "station", func(s string) string {
		if !stationForm.MatchString(s) {
			return fmt.Sprintf("station %s is no station id: 1 to 32 lower-case letters, digits and dashes, the first no dash", yamltext.Quote(s))
		}
		return ""
	})
	check("data", "data", func(string) string { return "" })
	check("listen", "listen", func(s string) string {
		if _, _, err := net.SplitHostPort(s); err != nil {
			return fmt.Sprintf("listen %s is not an address such as 127.0.0.1:8080", yamltext.Quote(s))
		}
		return ""
	})
	var slots []string
	if f, ok := top["slots"]; ok {
		slots = checkSlots(pg, f.Value)
	}
	if f, ok := top["page"]; ok {
		checkPage(pg, f.Value, slots)
	}
	if f, ok := top["escrow"]; ok {
		checkEscrow(pg, f.Value)
	}
	if f, ok := top["mirror"]; ok && f.Value.Value != "none" {
		if f.Value.Kind != yaml.MappingNode {
			pg.At(f.Value, "mirror is none or {dir: DIRECTORY}", "")
		} else if found, ok := pg.Group(f.Value, f.Value, "the mirror", []string{"dir"}, nil, nil); ok {
			pg.Text(found["dir"].Value, "dir")
		}
	}
	checkRemoteKeys(pg, top)
	if f, ok := top["allow_raw"]; ok && f.Value.Tag != "!!bool" {
		pg.At(f.Value, fmt.Sprintf("allow_raw is true or false, not %s", yamltext.Quote(f.Value.Value)), "")
	}
	return pg.Err()
}

var groupForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

func checkEscrow(pg *yamltext.Page, n *yaml.Node) {
	items, ok := pg.List(n, "escrow")
	if !ok {
		return
	}
	seen := map[string]bool{}
	for _, item := range items {
		found, _ := pg.Group(item, item, "an escrow group", []string{"name", "recipients"}, nil, nil)
		if f, ok := found["name"]; ok {
			name, ok := pg.Text(f.Value, "name")
			switch {
			case ok && !groupForm.MatchString(name):
				pg.At(f.Value, fmt.Sprintf("%s is no name of a group: letters, digits, and _ . - inside", yamltext.Quote(name)), "")
			case ok && seen[name]:
				pg.At(f.Value, fmt.Sprintf("there is a group %s already", yamltext.Quote(name)), "")
			}
			seen[name] = true
		}
		f, ok := found["recipients"]
		if !ok {
			continue
		}
		recipients, ok := pg.List(f.Value, "recipients")
		if ok && len(recipients) == 0 {
			pg.At(f.Value, "a group without recipients could open nothing", "put the auditors' age recipients (age1...) into the list")
		}
		var group []string
		for _, r := range recipients {
			text, ok := pg.Text(r, "a recipient")
			switch {
			case ok && keyring.CheckRecipients([]string{text}) != nil:
				pg.At(r, fmt.Sprintf("%s is no age recipient", yamltext.Quote(text)), "`age-keygen -y IDENTITY` prints one: age1 and 58 more characters")
			case ok && slices.Contains(group, text):
				pg.At(r, "this recipient stands in the group twice", "")
			}
			group = append(group, text)
		}
	}
}

// checkSlots returns the names of the slots, nil where one has none.
func checkSlots(pg *yamltext.Page, n *yaml.Node) (names []string) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		pg.At(n, "slots has to be a list with at least one slot", `a slot is a line like this: - {name: "1", port: 1-4.2, channel: A}`)
		return nil
	}
	var slots []fixtures.Slot
	var fields []map[string]yamltext.Field
	var nodes []*yaml.Node
	for _, item := range n.Content {
		found, whole := pg.Group(item, item, "a slot", []string{"name", "port"}, []string{"channel", "volts", "power", "clock", "hold_reset", "excluded"}, nil)
		var s fixtures.Slot
		for key, into := range map[string]*string{"name": &s.Name, "port": &s.Port, "channel": &s.Channel, "volts": &s.Volts, "power": &s.Power, "clock": &s.Clock} {
			if f, ok := found[key]; ok {
				text, ok := pg.Text(f.Value, key)
				*into = text
				whole = whole && ok
			}
		}
		for key, into := range map[string]*bool{"hold_reset": &s.HoldReset, "excluded": &s.Excluded} {
			if f, ok := found[key]; ok && f.Value.Value != "true" && f.Value.Value != "false" {
				pg.At(f.Value, fmt.Sprintf("%s is true or false, not %s", key, yamltext.Quote(f.Value.Value)), "")
			} else if ok {
				*into = f.Value.Value == "true"
			}
		}
		if whole {
			names = append(names, s.Name)
			slots, fields, nodes = append(slots, s), append(fields, found), append(nodes, item)
		}
	}
	// The rack knows what a slot may be; here only is where it stands.
	_, err := fixtures.NewRack(nil, slots)
	for _, e := range slotErrors(err) {
		at := nodes[e.Number]
		if f, ok := fields[e.Number][e.Field]; ok {
			at = f.Value
		}
		pg.At(at, fmt.Sprintf("slot %s: %v", e.Slot, e.Err), "")
	}
	if len(slots) < len(n.Content) {
		return nil
	}
	return names
}

// slotErrors takes apart what NewRack joined.
func slotErrors(err error) (out []*fixtures.SlotError) {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return nil
	}
	for _, e := range joined.Unwrap() {
		var s *fixtures.SlotError
		if errors.As(e, &s) {
			out = append(out, s)
		}
	}
	return slices.Clip(out)
}
