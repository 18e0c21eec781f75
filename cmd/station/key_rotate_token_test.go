//go:build cgo

package main

import "testing"

// Keys in a token are rotated as any others are: the token makes them, and destroys the old one.
func TestRotateInToken(t *testing.T) {
	p, _ := newTokenPosition(t)
	p.dieInRotation()
	p.rotations()
	noSecret(t, p.data(), p.output.Bytes())
}
