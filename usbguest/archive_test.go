package usbguest

import (
	"bytes"
	"fmt"
	"path"
	"strings"
)

// archive is an initramfs: a cpio archive in the "newc" format, whose headers are 13 words of 8 hexadecimal digits.
type archive struct {
	buf   bytes.Buffer
	names map[string]bool
}

func (a *archive) has(name string) bool { return a.names[strings.TrimPrefix(name, "/")] }

func (a *archive) dir(name string) { a.entry(name, 0o040755, nil) }

// file adds a file that may be executed, and the directories that it is in.
func (a *archive) file(name string, content []byte) {
	name = strings.TrimPrefix(name, "/")
	parts := strings.Split(path.Dir(name), "/")
	for i := range parts {
		if d := path.Join(parts[:i+1]...); d != "." && !a.has(d) {
			a.dir(d)
		}
	}
	a.entry(name, 0o100755, content)
}

func (a *archive) entry(name string, mode int, content []byte) {
	if a.names == nil {
		a.names = map[string]bool{}
	}
	a.names[name] = true
	fmt.Fprintf(&a.buf, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		len(a.names), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
	a.align()
	a.buf.Write(content)
	a.align()
}

func (a *archive) align() {
	for a.buf.Len()%4 != 0 {
		a.buf.WriteByte(0)
	}
}

func (a *archive) end() []byte {
	a.entry("TRAILER!!!", 0, nil)
	return a.buf.Bytes()
}
