package flash

import (
	"encoding/hex"
	"fmt"
	"regexp"
)

// Bounds of a table.
const (
	maxACRTMBytes    = 4096
	maxACRTMCommands = 64
	maxACRTMMatches  = 16
	maxACRTMTrailer  = 64
)

// acrtmName is what map and commands are called: recipes, ledger and reports name them so.
var acrtmName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// validate tells must everything that is wrong with the table.
func (t *ACRTM) validate(must func(ok bool, format string, args ...any)) {
	must(acrtmName.MatchString(t.Map), "map %.40q is no name of lower-case letters, digits and hyphens", t.Map)
	must(t.MaxWrite >= 1 && t.MaxWrite <= maxACRTMBytes, "max_write %d is not within 1 to %d", t.MaxWrite, maxACRTMBytes)
	must(t.MaxRead >= 1 && t.MaxRead <= maxACRTMBytes, "max_read %d is not within 1 to %d", t.MaxRead, maxACRTMBytes)
	must(t.Trailer >= 0 && t.Trailer <= maxACRTMTrailer, "trailer %d is not within 0 to %d", t.Trailer, maxACRTMTrailer)
	must(t.Busy != 0 && t.OK&t.Busy == 0, "busy 0x%02X has no bits, or is part of ok 0x%02X", t.Busy, t.OK)
	must(t.OK != 0 && t.OK != 0xFF, "ok 0x%02X is what a floating bus says", t.OK)
	must(t.Poll > 0 && t.Limit >= t.Poll && t.Limit <= longestTime, "poll %v, limit %v are not 0 < poll <= limit <= %v", t.Poll, t.Limit, longestTime)
	if n := len(t.Commands); n == 0 || n > maxACRTMCommands {
		must(false, "commands: %d are not within 1 to %d", n, maxACRTMCommands)
		return
	}
	for i := range t.Commands {
		c, name := &t.Commands[i], fmt.Sprintf("commands.%d", i)
		must(acrtmName.MatchString(c.Name), "%s: name %.40q is no name of lower-case letters, digits and hyphens", name, c.Name)
		must(c.Class == ReadOnly || c.Class == StateChanging, "%s: class %.40q is neither %s nor %s", name, c.Class, ReadOnly, StateChanging)
		must(!c.OneWay || c.Class == StateChanging, "%s: one_way, and not %s", name, StateChanging)
		must(c.Min >= 1 && c.Max >= c.Min && c.Max <= t.MaxWrite, "%s: lengths %d, %d are not 1 <= min <= max <= max_write %d", name, c.Min, c.Max, t.MaxWrite)
		must(c.Reply >= 0 && c.Reply < t.MaxRead, "%s: a reply of %d bytes and the status byte are not within max_read %d", name, c.Reply, t.MaxRead)
		must(c.Class != StateChanging || c.Min > t.Trailer, "%s: min %d has no room for a trailer of %d bytes", name, c.Min, t.Trailer)
		if len(c.Match) > maxACRTMMatches {
			must(false, "%s: match: %d bytes are more than %d", name, len(c.Match), maxACRTMMatches)
			return
		}
		end := c.Min // matches are before the HMAC, which is never looked at
		if c.Min > t.Trailer {
			end -= t.Trailer
		}
		first, at := -1, map[int]bool{}
		for k, m := range c.Match {
			must(m.At >= 0 && m.At < end, "%s: match.%d: at %d is not within the %d bytes that every such block has before its trailer", name, k, m.At, end)
			must(!at[m.At], "%s: match.%d: at %d is there twice", name, k, m.At)
			at[m.At] = true
			if m.At == 0 {
				first = int(m.Value)
			}
		}
		must(first >= 0, "%s: match: byte 0, the sub-command, is missing", name)
		must(first < 0 || first >= rpmcCommands, "%s: match: sub-commands 00 to 03 are RPMC's", name)
		for k := range t.Commands[:i] {
			other := &t.Commands[k]
			must(c.Name != other.Name, "%s: name %s is commands.%d's, too", name, c.Name, k)
			must(c.apart(other), "%s: a block may match commands.%d, too", name, k)
		}
	}
	if t.Counters != nil {
		t.Counters.validate(t, must)
	}
}

// apart tells whether no block matches both, whatever its length.
func (c *ACRTMCommand) apart(other *ACRTMCommand) bool {
	for _, m := range c.Match {
		for _, n := range other.Match {
			if m.At == n.At && m.Value != n.Value {
				return true
			}
		}
	}
	return false
}

func (n *ACRTMCounters) validate(t *ACRTM, must func(ok bool, format string, args ...any)) {
	block, err := hex.DecodeString(n.Block)
	if err != nil {
		must(false, "counters: block %.40q is not hexadecimal", n.Block)
		return
	}
	command, err := t.Check(block)
	if err != nil {
		must(false, "counters: %v", err)
		return
	}
	must(command.Class == ReadOnly, "counters: command %s is %s", command.Name, command.Class)
	must(n.Reply == command.Reply, "counters: reply %d is not that of command %s, %d", n.Reply, command.Name, command.Reply)
	within := func(at int) bool { return at >= 0 && at <= n.Reply-counterSize }
	must(within(n.PowerOn), "counters: power_on %d is not within the reply", n.PowerOn)
	must(within(n.Command), "counters: command %d is not within the reply", n.Command)
	must(n.PowerOn >= n.Command+counterSize || n.Command >= n.PowerOn+counterSize, "counters: power_on %d and command %d overlap", n.PowerOn, n.Command)
}
