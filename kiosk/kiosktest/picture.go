package kiosktest

import (
	"context"
	"os"
	"path/filepath"

	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// quality of a WebP, of 100: letters stay sharp, and it has a fifth of the bytes of a PNG.
var quality int64 = 75

// Picture writes what the page shows to a file: a WebP where its name says so, and a PNG otherwise.
func (p *Page) Picture(file string) {
	p.t.Helper()
	var picture []byte
	params := cdpage.CaptureScreenshotParams{Format: cdpage.CaptureScreenshotFormatPng}
	if filepath.Ext(file) == ".webp" {
		params.Format, params.Quality = cdpage.CaptureScreenshotFormatWebp, &quality
	}
	p.do(func(ctx context.Context, t *chromedp.Target) (v chromedp.Void, err error) {
		var answer cdpage.CaptureScreenshotResult
		err = t.Call(ctx, cdpage.CaptureScreenshot.Method, params, &answer)
		picture = answer.Data
		return v, err
	})
	if err := os.WriteFile(file, picture, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// Resize makes the window another size, in CSS pixels.
func (p *Page) Resize(width, height int64) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, height))
}
