package flash

import (
	"context"
	"fmt"

	"station/spi"
)

// Foreign is what a chip tells of itself that fits no profile.
type Foreign struct {
	ID   [20]byte // READ ID
	Raw  []byte   // the first 256 bytes of the SFDP area
	SFDP *SFDP    // nil: malformed; then Err says how
	Err  error    // wraps ErrSFDP; nil where SFDP is not
}

// Look reads ID and SFDP of whatever answers steadily, without a profile: nothing else is sent, and nothing is recovered. Errors: ErrAbsent,
// *UnstableError, *OtherChipError, and those of spi, wrapped.
func Look(ctx context.Context, conn spi.Conn) (*Foreign, error) {
	c := &Chip{conn: conn, dies: 1}
	var reads [3][20]byte
	first, second := make([]byte, 256), make([]byte, 256)
	err := conn.Do(ctx, readID(&reads[0]), readSFDP(first), readID(&reads[1]), readSFDP(second), readID(&reads[2]))
	if err == nil {
		c.id, err = steadyID(reads[:]...)
	}
	if err == nil {
		err = alike("read SFDP", 0, first, second)
	}
	if err != nil {
		return nil, fmt.Errorf("look: %w", err)
	}
	f := &Foreign{ID: c.id, Raw: first}
	f.SFDP, f.Err = ParseSFDP(first)
	return f, nil
}

// Nearest is the one of parts that has most in common with a device ID: most of its first bytes, and then most of the others. nil: not even the manufacturer.
func Nearest(id DeviceID, parts []*Part) *Part {
	var best *Part
	most := 0
	for _, p := range parts {
		score := 0
		for i, same := 0, true; i < len(id); i++ {
			if same = same && id[i] == p.ID[i]; same {
				score += len(id)
			}
			if id[i] == p.ID[i] {
				score++
			}
		}
		if p.ID[0] == id[0] && score > most {
			best, most = p, score
		}
	}
	return best
}
