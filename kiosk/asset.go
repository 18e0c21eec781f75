package kiosk

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
)

//go:embed assets/*.css assets/*.js assets/*.woff2 assets/*.svg
var assetFiles embed.FS

// assets are the files that pages load besides themselves: styles, scripts, the font, and the catalogue for the script. All stand in one folder whose name is the hash
// of all of them, so that a browser may keep them for ever, and never mixes those of two programs.
type assets struct {
	hash  string
	files map[string][]byte
}

func newAssets() *assets {
	a := &assets{files: map[string][]byte{}}
	for _, files := range []embed.FS{assetFiles, textFiles} {
		fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			a.files[path.Base(name)], err = files.ReadFile(name)
			return err
		})
	}
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(a.files)) {
		fmt.Fprintf(h, "%s %d\n", name, len(a.files[name]))
		h.Write(a.files[name])
	}
	a.hash = hex.EncodeToString(h.Sum(nil))[:12]
	return a
}

// url is where a file is.
func (a *assets) url(name string) (string, error) {
	if a.files[name] == nil {
		return "", fmt.Errorf("there is no asset %s", name)
	}
	return "/assets/" + a.hash + "/" + name, nil
}

// ServeHTTP answers GET /assets/HASH/NAME.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	dir, name := path.Split(r.URL.Path)
	b := a.files[name]
	if b == nil || dir != "/assets/"+a.hash+"/" {
		http.NotFound(w, r)
		return
	}
	kinds := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".woff2": "font/woff2", ".json": "application/json", ".svg": "image/svg+xml"}
	w.Header().Set("Content-Type", kinds[path.Ext(name)])
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(b)
}

// icons are drawn on a field of 24 by 24. Those of outcomes have a filled shape of their own each; the rest are lines.
var icons = map[string]string{
	"pass":        `<circle class="fill" cx="12" cy="12" r="11"/><path class="mark" d="M6.8 12.4l3.6 3.6 6.9-7.6"/>`,
	"fail":        `<path class="fill" d="M7.4 1h9.2L23 7.4v9.2L16.6 23H7.4L1 16.6V7.4z"/><path class="mark" d="M8 8l8 8M16 8l-8 8"/>`,
	"error":       `<path class="fill" d="M12 1.6L23.4 21.6a.8.8 0 0 1-.7 1.2H1.3a.8.8 0 0 1-.7-1.2z"/><path class="mark" d="M12 9v6M12 18.6v.2"/>`,
	"refused":     `<circle class="fill" cx="12" cy="12" r="11"/><path class="mark bar" d="M6.5 12h11"/>`,
	"aborted":     `<rect class="fill" x="1.5" y="1.5" width="21" height="21" rx="2"/><rect class="inner" x="8" y="8" width="8" height="8" rx="1"/>`,
	"interrupted": `<path class="fill" d="M12 .6L23.4 12 12 23.4.6 12z"/><path class="mark" d="M9.3 9.6a2.8 2.8 0 1 1 4 2.5c-.9.5-1.3 1-1.3 2M12 17.2v.2"/>`,
	"trial":       `<circle class="ring" cx="12" cy="12" r="10"/><path class="line" d="M10 6.5h4M10.8 6.5v4.2L7.6 16.4a.8.8 0 0 0 .7 1.2h7.4a.8.8 0 0 0 .7-1.2l-3.2-5.7V6.5M9 14.4h6"/>`,
	"chip":        `<path class="line" d="M7.5 7.5h9v9h-9zM9.8 3.5v4M14.2 3.5v4M9.8 16.5v4M14.2 16.5v4M3.5 9.8h4M3.5 14.2h4M16.5 9.8h4M16.5 14.2h4"/>`,
	"badge":       `<path class="line" d="M5 7.5h14v13H5zM10 7.5V4.5h4v3M9 17.5v-5M11 17.5v-5M13 17.5v-5M15 17.5v-5"/>`,
	"none":        `<circle class="line" cx="12" cy="12" r="9.5"/>`,
	"check":       `<path class="line" d="M4.5 12.6l5 5L19.5 7"/>`,
	"cross":       `<path class="line" d="M6 6l12 12M18 6L6 18"/>`,
	"alert":       `<path class="line" d="M12 3.2L22 20.4H2zM12 10v4.6M12 17.4v.2"/>`,
	"lock":        `<path class="line" d="M6 11h12v9H6zM8.5 11V7.8a3.5 3.5 0 0 1 7 0V11"/>`,
	"insert":      `<path class="line" d="M12 3v11M7.5 9.8L12 14.3l4.5-4.5M4 19.5h16"/>`,
	"eject":       `<path class="line" d="M12 14.5V4M7.5 8.2L12 3.7l4.5 4.5M4 19.5h16"/>`,
	"scan":        `<path class="line" d="M3 8V4h4M17 4h4v4M21 16v4h-4M7 20H3v-4M7.5 8.5v7M10.5 8.5v7M13.5 8.5v7M16.5 8.5v7"/>`,
	"wait":        `<path class="line" d="M12 2.5a9.5 9.5 0 1 0 9.5 9.5M12 7v5.4l3.4 2"/>`,
	"stop":        `<rect class="line" x="6" y="6" width="12" height="12" rx="1.5"/>`,
	"person":      `<circle class="line" cx="12" cy="8" r="4"/><path class="line" d="M4.5 20.5c.8-4 3.7-6 7.5-6s6.7 2 7.5 6"/>`,
	"sound":       `<path class="line" d="M4 9.5h3.5L12 5.5v13L7.5 14.5H4zM15.5 9a4.3 4.3 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11"/>`,
	"contrast":    `<circle class="line" cx="12" cy="12" r="9"/><path class="solid" d="M12 3a9 9 0 0 1 0 18z"/>`,
	"search":      `<circle class="line" cx="10.5" cy="10.5" r="6.5"/><path class="line" d="M15.5 15.5L21 21"/>`,
	"offline":     `<path class="line" d="M3 3l18 18M5 12a10 10 0 0 1 4-2.4M19 12a10 10 0 0 0-5.5-2.8M8.5 15.5a5 5 0 0 1 6.5-.2M12 19.2v.2M2 8.5a14.5 14.5 0 0 1 3.6-2.3M22 8.5A14.5 14.5 0 0 0 9.5 5"/>`,
}

// icon is a drawing, for the eye alone: beside it stands what it means.
func icon(name string) template.HTML {
	return template.HTML(`<svg class="icon icon-` + name + `" viewBox="0 0 24 24" aria-hidden="true">` + icons[name] + `</svg>`)
}
