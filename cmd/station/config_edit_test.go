package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"

	root "station"
)

// TestEditSlots: what is named becomes what was asked for, and not another byte moves. In each text «old|new» is what has to change.
func TestEditSlots(t *testing.T) {
	place := func(slot, port, channel string) slotEdit {
		return slotEdit{slot, map[string]string{"port": port, "channel": channel}}
	}
	volts := func(slot, volts string) slotEdit { return slotEdit{slot, map[string]string{"volts": volts}} }
	clock := func(slot, clock string) slotEdit { return slotEdit{slot, map[string]string{"clock": clock}} }
	const head = "# ünïcode above\nstation: line1\ndata: data # here\nslots:\n"
	for name, c := range map[string]struct {
		text  string
		edits []slotEdit
	}{
		"as shipped": {strings.NewReplacer(`{name: "1", port: 1-1, channel: A`, `{name: "1", port: «1-1|1-4.2», channel: «A|B»`,
			`{name: "2", port: 1-1, channel: B`, `{name: "2", port: «1-1|1-4.2», channel: «B|A»`,
			`{name: "3", port: 1-2, volts: "3.3"`, `{name: "3", port: 1-2, volts: "«3.3|1.8»"`,
			`{name: "4", port: 1-3, volts: "3.3",`, `{name: "4", port: 1-3, volts: "3.3"«|, clock: 7.5MHz»,`).Replace(string(root.DefaultConfig)),
			[]slotEdit{place("1", "1-4.2", "B"), place("2", "1-4.2", "A"), volts("3", "1.8"), clock("4", "7.5MHz")}},
		"flow, quoted, with a comment":  {head + `  - {port: "«1-1|1-2»", name: '1', power: manual} # "1", port: 1-1`, []slotEdit{place("1", "1-2", "")}},
		"flow, channel gone":            {head + "  - {name: \"1\", port: «1-1|2-1»«, channel: A|», volts: '3.3'}\n", []slotEdit{place("1", "2-1", "")}},
		"flow, channel first":           {head + "  - {«channel: A, |»name: \"1\", port: 1-1, clock: 1MHz}\n", []slotEdit{place("1", "1-1", "")}},
		"flow, of three":                {head + "  - {name: \"1\", port: 1-1«|, channel: A», volts: '«3.3|2.5»'«|, clock: 30MHz»}\n", []slotEdit{{"1", map[string]string{"channel": "A", "volts": "2.5", "clock": "30MHz"}}}},
		"flow, volts that are a number": {head + "  - {name: \"1\", port: 1-1, volts: «3.3|\"1.8\"»}\n", []slotEdit{volts("1", "1.8")}},
		"block, volts anew":             {head + "  - name: \"1\"\n    port: 1-1\n«|    volts: \"1.8\"\n»    clock: 1MHz\n", []slotEdit{volts("1", "1.8")}},
		"block": {head + "  - name: \"é\"   # the left one\n    port: '«1-1|1-2»'  # at the back\n«|    channel: B\n»    volts: \"3.3\"\n\n  - name: \"2\"\n    port: 1-3\nescrow: []\n",
			[]slotEdit{place("é", "1-2", "B")}},
		"block, channel gone":  {head + "  - name: \"1\"\n    port: 1-1\n«    channel: A\n|»    clock: «15MHz|30MHz»\n", []slotEdit{place("1", "1-1", ""), clock("1", "30MHz")}},
		"block, channel first": {head + "  - «channel: A\n    |»name: \"1\"\n    port: 1-1\n", []slotEdit{place("1", "1-1", "")}},
		"block, last line":     {head + "  - name: \"1\"\n    port: «1-1|1-2»«|\n    channel: A»", []slotEdit{place("1", "1-2", "A")}},
		"carriage returns":     {strings.ReplaceAll(head+"  - name: \"1\"\n    port: 1-1«|\n    channel: A»\n", "\n", "\r\n"), []slotEdit{place("1", "1-1", "A")}},
		"network":              {head + "  - {name: \"1\", port: «1-1|\"tcp:127.0.0.1:4000\"», volts: '3.3'}\n", []slotEdit{place("1", "tcp:127.0.0.1:4000", "")}},
		"nothing":              {head + "  - {name: \"1\", port: 1-1}\n", []slotEdit{place("1", "1-1", "")}},
	} {
		t.Run(name, func(t *testing.T) {
			before, want := versions(t, c.text)
			got, changes, err := editSlots("config.yaml", before, c.edits)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got\n%q\nwant\n%q", got, want)
			}
			if (len(changes) == 0) != bytes.Equal(before, want) {
				t.Errorf("changes are %+v", changes)
			}
			again, changes, err := editSlots("config.yaml", got, c.edits)
			if err != nil || len(changes) != 0 || !bytes.Equal(again, got) {
				t.Errorf("a second time: %+v, %v", changes, err)
			}
		})
	}
}

// versions takes both out of a marked text.
func versions(t *testing.T, marked string) (before, after []byte) {
	t.Helper()
	for {
		plain, rest, more := strings.Cut(marked, "«")
		before, after = append(before, plain...), append(after, plain...)
		if !more {
			return before, after
		}
		change, rest, ok := strings.Cut(rest, "»")
		from, to, ok2 := strings.Cut(change, "|")
		if !ok || !ok2 {
			t.Fatalf("badly marked: %q", rest)
		}
		before, after = append(before, from...), append(after, to...)
		marked = rest
	}
}

// TestEditSlotsRefused: what would come out wrong, and what cannot be edited, is an error, and no text.
func TestEditSlotsRefused(t *testing.T) {
	const head = "station: line1\ndata: data\nslots:\n"
	for name, c := range map[string]struct{ text, slot, port, channel, want string }{
		"no such slot":         {`  - {name: "1", port: 1-1}`, "9", "1-2", "", `there is no slot "9"`},
		"taken":                {"  - {name: \"1\", port: 1-1}\n  - {name: \"2\", port: 1-2}", "1", "1-2", "", "config.yaml:5:23: slot 2: USB port 1-2 is slot 1's already"},
		"no port":              {`  - {name: "1", port: 1-1}`, "1", "ttyUSB0", "", `port "ttyUSB0" is not a USB port path`},
		"no channel":           {`  - {name: "1", port: 1-1}`, "1", "1-1", "Q", `channel "Q"`},
		"a comment in the way": {"  - {name: \"1\", port: 1-1, # here\n     channel: A}", "1", "1-1", "", errByHand.Error()},
		"over two lines":       {"  - name: \"1\"\n    port: \"1-\\\n      1\"", "1", "1-2", "", errByHand.Error()},
	} {
		out, _, err := editSlots("config.yaml", []byte(head+c.text+"\n"), []slotEdit{{c.slot, map[string]string{"port": c.port, "channel": c.channel}}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q\n%s", name, err, c.want, out)
		}
	}
}

// TestReplaceConfig: whole, with the file's mode, through a link; not over what somebody else wrote; and nothing is left behind.
func TestReplaceConfig(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "real.yaml"), filepath.Join(dir, "config.yaml")
	if err := errors.Join(os.WriteFile(file, []byte("before"), 0o640), os.Symlink("real.yaml", link)); err != nil {
		t.Fatal(err)
	}
	if err := replaceConfig(link, []byte("before"), []byte("after")); err != nil {
		t.Fatal(err)
	}
	if err := replaceConfig(link, []byte("before"), []byte("later")); err == nil || !strings.Contains(err.Error(), "changed meanwhile") {
		t.Errorf("over another's change: %v", err)
	}
	text, err := os.ReadFile(file)
	info, err2 := os.Stat(file)
	if err := errors.Join(err, err2); err != nil || string(text) != "after" || info.Mode() != 0o640 {
		t.Errorf("%q, %v, %v", text, info.Mode(), err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 2 || all[0].Type() != os.ModeSymlink {
		t.Errorf("%v, %v", all, err)
	}
}

// TestReplaceConfigOf: owner and group stay, where this user can give them; where not, or where no file can be made in the folder, nothing is written, and
// no name of a file that nobody knows is told.
func TestReplaceConfigOf(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	const me, ours, others = 12345, 12345, 23456
	for name, c := range map[string]struct {
		user         int
		uid, gid     int // of the file
		file, folder os.FileMode
		says         string // "" is written
	}{
		"root, another's file":       {0, me, ours, 0o640, 0o755, ""},
		"one's own":                  {me, me, ours, 0o600, 0o777, ""},
		"another's group":            {me, me, others, 0o640, 0o777, "config.yaml belongs to a user or a group that this user may not give a new file to: nothing was written"},
		"another's, writable by all": {me, others, ours, 0o666, 0o777, "config.yaml belongs to a user or a group that this user may not give a new file to: nothing was written"},
		"not writable":               {me, others, others, 0o644, 0o777, "config.yaml may not be written by this user: nothing was written"},
		"a folder that is locked":    {me, me, ours, 0o644, 0o755, "config.yaml cannot be replaced by this user, who may not make files in its folder: nothing was written"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "config.yaml")
			if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.WriteFile(file, []byte("before"), 0o600), os.Chown(file, c.uid, c.gid), os.Chmod(file, c.file), os.Chmod(dir, c.folder)); err != nil {
				t.Fatal(err)
			}
			var try, write error
			asUser(c.user, func() {
				try = tryConfig(file)
				write = replaceConfig(file, []byte("before"), []byte("after"))
			})
			text, err := os.ReadFile(file)
			info, err2 := os.Stat(file)
			all, err3 := os.ReadDir(dir)
			if err := errors.Join(err, err2, err3); err != nil || len(all) != 1 {
				t.Fatalf("%v, %v", all, err)
			}
			if is := info.Sys().(*syscall.Stat_t); is.Uid != uint32(c.uid) || is.Gid != uint32(c.gid) || info.Mode() != c.file {
				t.Errorf("it belongs to %d:%d, %v", is.Uid, is.Gid, info.Mode())
			}
			if c.says == "" {
				if try != nil || write != nil || string(text) != "after" {
					t.Errorf("%v, %v, %q", try, write, text)
				}
				return
			}
			var e *exitErr
			if !errors.As(write, &e) || e.code != exitRefused || !strings.Contains(write.Error(), c.says) || strings.Contains(write.Error(), ".config.yaml-") || string(text) != "before" {
				t.Errorf("%v, %q", write, text)
			}
			if fmt.Sprint(try) != fmt.Sprint(write) {
				t.Errorf("trying says %v", try)
			}
		})
	}
}

// asUser does something to files as a user whose one group has the same number, on a thread that ends with it.
func asUser(user int, do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if user != 0 {
			syscall.RawSyscall(syscall.SYS_SETFSGID, uintptr(user), 0, 0)
			syscall.RawSyscall(syscall.SYS_SETFSUID, uintptr(user), 0, 0)
		}
		do()
	}()
	<-done
}

// TestEditAnyLayout: however people lay out a slot, the edit is possible, is what the file says afterwards, and leaves every other line alone.
func TestEditAnyLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		eol := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "eol")
		var lines []string // of the file
		add := func(text string) {
			lines = append(lines, text+rapid.SampledFrom([]string{"", "", "  # port: 9-9, channel: Z"}).Draw(t, "comment"))
			if rapid.Bool().Draw(t, "blank") {
				lines = append(lines, "")
			}
		}
		add("# ö")
		add("station: line1")
		add("slots:")
		n := rapid.IntRange(1, 3).Draw(t, "slots")
		edited := rapid.IntRange(1, n).Draw(t, "edited")
		var first, last int // lines of the edited slot
		want := map[string]any{}
		for i := 1; i <= n; i++ {
			values := map[string]string{"name": fmt.Sprint("é", i), "port": fmt.Sprint("1-", i)}
			for key, value := range map[string]string{"channel": "A", "clock": "15MHz", "volts": "3.3"} {
				if rapid.Bool().Draw(t, key) {
					values[key] = value
				}
			}
			var pairs []string
			for _, key := range rapid.Permutation(slices.Sorted(maps.Keys(values))).Draw(t, "order") {
				quote := rapid.SampledFrom([]string{`"`, "'", ""}).Draw(t, "quote")
				if quote == "" && key == "volts" {
					quote = "'" // a number is no text
				}
				pairs = append(pairs, key+": "+quote+values[key]+quote)
			}
			if i == edited {
				first = len(lines)
				for key, value := range values {
					want[key] = value
				}
			}
			if rapid.Bool().Draw(t, "flow") {
				add("  - {" + strings.Join(pairs, rapid.SampledFrom([]string{", ", ",  ", ","}).Draw(t, "comma")) + "}")
			} else {
				lead := "  - "
				for _, pair := range pairs {
					add(lead + pair)
					lead = "    "
				}
			}
			if i == edited {
				last = len(lines)
			}
		}
		add("data: data")
		before := []byte(strings.Join(lines, eol) + eol)

		set := map[string]string{"port": "2-7.1"}
		for key, value := range map[string]string{"channel": "B", "volts": "1.8", "clock": "30MHz"} {
			switch rapid.IntRange(0, 2).Draw(t, "what becomes of "+key) {
			case 0:
				set[key] = ""
			case 1:
				set[key] = value
			}
		}
		for key, value := range set {
			if want[key] = value; value == "" {
				delete(want, key)
			}
		}
		after, _, err := editSlots("config.yaml", before, []slotEdit{{fmt.Sprint("é", edited), set}})
		removed := func(key string) bool { value, is := set[key]; return is && value == "" }
		noted := slices.ContainsFunc(lines[first:last], func(line string) bool {
			return strings.Contains(line, "#") && (removed("channel") && strings.Contains(line, "channel") || removed("volts") && strings.Contains(line, "volts") || removed("clock") && strings.Contains(line, "clock"))
		})
		if noted && errors.Is(err, errByHand) {
			return // what is noted behind a key does not go with it
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, before)
		}
		if a, b := strings.Count(string(before), "#"), strings.Count(string(after), "#"); a != b {
			t.Fatalf("of %d comments %d are left:\n%s\n%s", a, b, before, after)
		}
		var doc struct{ Slots []map[string]any }
		if err := yaml.Load(after, &doc); err != nil || !reflect.DeepEqual(doc.Slots[edited-1], want) {
			t.Fatalf("%v, want %v: %v\n%s", doc.Slots, want, err, after)
		}
		got := strings.Split(strings.TrimSuffix(string(after), eol), eol)
		if rest := len(lines) - last; !slices.Equal(got[:first], lines[:first]) || len(got) < rest || !slices.Equal(got[len(got)-rest:], lines[last:]) {
			t.Fatalf("other lines changed:\n%s\n%s", before, after)
		}
	})
}
