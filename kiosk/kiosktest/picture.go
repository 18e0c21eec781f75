package kiosktest

import (
	"context"
	"os"

	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Picture writes what the page shows to a PNG.
func (p *Page) Picture(file string) {
	p.t.Helper()
	var png []byte
	p.do(func(ctx context.Context, t *chromedp.Target) (v chromedp.Void, err error) {
		var answer cdpage.CaptureScreenshotResult
		err = t.Call(ctx, cdpage.CaptureScreenshot.Method, cdpage.CaptureScreenshotParams{Format: cdpage.CaptureScreenshotFormatPng}, &answer)
		png = answer.Data
		return v, err
	})
	if err := os.WriteFile(file, png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// Resize makes the window another size, in CSS pixels.
func (p *Page) Resize(width, height int64) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, height))
}
