package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"station/flash"
)

type sfdpJSON struct {
	Revision string   `json:"revision"`
	Size     int64    `json:"size"`
	Page     int64    `json:"page"`
	Address  int      `json:"address_bytes"`
	Erases   []string `json:"erases"` // "4096 20/21": bytes, opcode, and its 4-byte twin
	Tables   []string `json:"tables"` // "FF00 1.6 at 0x30, 64 bytes"
	RPMC     int      `json:"rpmc"`   // counters
	Digest   string   `json:"digest"`
}

type otpJSON struct {
	Data   string `json:"data"`
	Locked bool   `json:"locked"`
}

type infoJSON struct {
	Slot      string               `json:"slot"`
	Part      string               `json:"part"`    // "" where no profile fits
	Variant   string               `json:"variant"` // standard, secure, Authenta, or "" where the ID tells none
	ID        string               `json:"id"`      // all 20 bytes of READ ID
	UID       string               `json:"uid"`
	Recovered []string             `json:"recovered"`
	SFDP      *sfdpJSON            `json:"sfdp"` // null where it is malformed
	Registers []flash.RegisterText `json:"registers"`
	OTP       *otpJSON             `json:"otp"` // null where the profile has none
	RPMC      int                  `json:"rpmc"`
	Assumed   []string             `json:"assumed"`
	Problem   string               `json:"problem"` // why no profile fits
	Nearest   string               `json:"nearest"` // the known part that has most in common with it
}

func (a *app) chipInfo() *cobra.Command {
	c := &cobra.Command{Use: "info --slot NAME", Short: "What the part is, and what its registers hold; changes nothing", Args: cobra.NoArgs}
	at := seatFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.inSlot(c.Context(), at, func(s *seated) error { return s.info(c.Context()) })
	}
	return c
}

func (s *seated) info(ctx context.Context) error {
	err := s.identify(ctx)
	var part *flash.WrongPartError
	var sfdp *flash.WrongSFDPError
	if errors.As(err, &part) || errors.As(err, &sfdp) || errors.Is(err, flash.ErrSFDP) {
		return s.foreign(ctx, err)
	}
	if err != nil {
		return err
	}
	p := s.chip.Part()
	id := s.chip.ID()
	j := infoJSON{Slot: s.slot, Part: p.Name, Variant: flash.Variant(p.ID), ID: hexBytes(id[:]), UID: s.chip.UID(), SFDP: sfdpText(s.chip.SFDP()),
		Recovered: append([]string{}, s.chip.Recovered()...), Assumed: append([]string{}, p.Assumed...)}
	r, err := s.chip.Registers(ctx)
	if err != nil {
		return err
	}
	j.Registers = r.Text()
	if p.RPMC != nil {
		j.RPMC = p.RPMC.Counters
	}
	if p.OTP != nil {
		otp, err := s.chip.OTP(ctx)
		if err != nil {
			return err
		}
		j.OTP = &otpJSON{hexBytes(otp.Data), otp.Locked()}
	}
	return s.app.printInfo(j)
}

// foreign tells what it can of a chip that no profile fits.
func (s *seated) foreign(ctx context.Context, why error) error {
	f, err := flash.Look(ctx, s.conn)
	if err != nil {
		return err
	}
	id := flash.DeviceID(f.ID[:6])
	j := infoJSON{Slot: s.slot, Variant: flash.Variant(id), ID: hexBytes(f.ID[:]), UID: hexBytes(f.ID[6:]), Recovered: []string{}, Registers: []flash.RegisterText{},
		Assumed: []string{}, Problem: why.Error()}
	if f.SFDP != nil {
		j.SFDP = sfdpText(f.SFDP)
	} else {
		j.Problem = errors.Join(why, f.Err).Error()
	}
	if near := flash.Nearest(id, flash.Parts()); near != nil {
		j.Nearest = near.Name
	}
	if err := s.app.printInfo(j); err != nil {
		return err
	}
	return exit(exitRefused, fmt.Errorf("REFUSED: slot %s: no profile fits this part: %w", s.slot, why))
}

func hexBytes(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

func sfdpText(s *flash.SFDP) *sfdpJSON {
	j := &sfdpJSON{Revision: fmt.Sprintf("%d.%d", s.Major, s.Minor), Size: s.Size, Page: s.Page, Address: s.AddressBytes, Erases: []string{}, Tables: []string{}, Digest: s.Digest()}
	for _, e := range s.Erases {
		j.Erases = append(j.Erases, fmt.Sprintf("%s %02X/%02X", sizeText(e.Size), e.Opcode, e.Opcode4))
	}
	for _, p := range s.Parameters {
		j.Tables = append(j.Tables, fmt.Sprintf("%04X %d.%d at 0x%02X, %d bytes", p.ID, p.Major, p.Minor, p.Pointer, p.Length))
	}
	if s.RPMC != nil {
		j.RPMC = s.RPMC.Counters
	}
	return j
}

func (a *app) printInfo(j infoJSON) error {
	if a.json {
		return a.printJSON(j)
	}
	variant := j.Variant
	if variant == "" {
		variant = "no variant that is known"
	}
	rows := [][]string{{"part", "unknown"}, {"variant", variant}, {"ID", spaced(j.ID)}, {"unique ID", j.UID}}
	if j.Part != "" {
		rows[0][1] = j.Part
	}
	row := func(name, text string) { rows = append(rows, []string{name, text}) }
	if j.Nearest != "" {
		row("nearest", j.Nearest)
	}
	if s := j.SFDP; s != nil {
		row("SFDP", fmt.Sprintf("revision %s: %s, pages of %d bytes, up to %d address bytes", s.Revision, sizeText(s.Size), s.Page, s.Address))
		row("", "erases "+strings.Join(s.Erases, ", "))
		for _, t := range s.Tables {
			row("", "table "+t)
		}
		if s.RPMC > 0 {
			row("", count(int64(s.RPMC), "monotonic counter")+" by table FF03")
		}
		row("", s.Digest)
	} else {
		row("SFDP", "malformed")
	}
	if j.Part != "" {
		recovered := "nothing"
		if len(j.Recovered) > 0 {
			recovered = strings.Join(j.Recovered, ", ")
		}
		row("recovered", recovered)
	}
	for _, r := range j.Registers {
		row(r.Name, r.Value+"  "+strings.Join(r.Words, "; "))
	}
	if j.OTP != nil {
		state := "not locked"
		if j.OTP.Locked {
			state = "locked for ever"
		}
		row("OTP", fmt.Sprintf("%s, %s", count(int64(len(j.OTP.Data)/2), "byte"), state))
		for at := 0; at < len(j.OTP.Data); at += 32 {
			row("", spaced(j.OTP.Data[at:min(at+32, len(j.OTP.Data))]))
		}
	}
	if j.RPMC > 0 {
		row("counters", fmt.Sprintf("%d, monotonic, replay-protected", j.RPMC))
	}
	if len(j.Assumed) > 0 {
		row("assumed", "no source confirms "+strings.Join(j.Assumed, ", "))
	}
	return a.printTable(rows)
}

// spaced is hexadecimal in bytes.
func spaced(text string) string {
	var out []string
	for i := 0; i+2 <= len(text); i += 2 {
		out = append(out, text[i:i+2])
	}
	return strings.Join(out, " ")
}
