package keyserver

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"station/ledger"
)

func (s *Server) keysOf(client, vkey string) (KeysAnswer, error) {
	k, err := s.stationKeys(client, vkey)
	if err != nil {
		return KeysAnswer{}, err
	}
	return s.describe(client, k)
}

// stationKeys are those of a station by its own key's name.
func (s *Server) stationKeys(client, vkey string) (StationKeys, error) {
	if vkey != "" {
		if v, err := note.NewVerifier(vkey); err != nil || len(vkey) > maxText {
			return nil, fmt.Errorf("%w: no verifier key", errContent)
		} else if v.Name() != ledger.Origin(client) {
			return nil, refuse(CauseForeign, about{}, "the key is that of %q, and the certificate is that of station %s", v.Name(), client)
		}
	}
	k, err := s.o.Keys.Station(client, vkey)
	if err != nil {
		return nil, s.missing("of station "+client+": it lacks the checkpoint key that the station's ledger names, or the verifier key", err)
	}
	return k, nil
}

func (s *Server) describe(client string, k StationKeys) (KeysAnswer, error) {
	recipient, err := k.Recipient()
	if err != nil {
		return KeysAnswer{}, s.missing("of the recipient of station "+client, err)
	}
	masters, err := s.masters()
	return KeysAnswer{Station: client, Checkpoint: k.VerifierKey(), Recipient: recipient, Masters: masters}, err
}

func (s *Server) makeKeys(ctx context.Context, client string) (KeysAnswer, error) {
	k, err := s.o.Keys.Create(client)
	if errors.Is(err, ErrExists) && !s.namedKeys(client) { // whoever made them died before the ledger named them
		k, err = s.o.Keys.Station(client, "")
	}
	if err != nil {
		return KeysAnswer{}, s.missing("a key of station "+client, err)
	}
	if err := s.noteKey(ctx, client, k.VerifierKey()); err != nil {
		return KeysAnswer{}, err
	}
	return s.describe(client, k)
}

// namedKeys tells whether the ledger names a checkpoint key of the station.
func (s *Server) namedKeys(client string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.state.client(client).keys) > 0
}

// noteKey writes down that a checkpoint key was made.
func (s *Server) noteKey(ctx context.Context, client, vkey string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.state.client(client).keys, vkey) {
		return nil
	}
	return s.write(ctx, ledger.ClientKey{Client: client, Key: vkey})
}

func (s *Server) nextCheckpoint(ctx context.Context, client string, q CheckpointKey) (CheckpointKey, error) {
	k, err := s.stationKeys(client, q.Checkpoint)
	if err != nil {
		return CheckpointKey{}, err
	}
	_, vkey, err := k.NextCheckpoint()
	if err != nil {
		return CheckpointKey{}, s.missing("of the next checkpoints of station "+client, err)
	}
	return CheckpointKey{vkey}, s.noteKey(ctx, client, vkey)
}

// destroyOld destroys nothing before the key that stays has signed: whoever asks can go on with it.
func (s *Server) destroyOld(ctx context.Context, client string, q CheckpointKey) error {
	if q.Checkpoint == "" {
		return fmt.Errorf("%w: no verifier key", errContent)
	}
	k, err := s.stationKeys(client, q.Checkpoint)
	if err != nil {
		return err
	}
	if err := s.noteDestroyed(ctx, client, q.Checkpoint); err != nil {
		return err
	}
	return k.DestroyOld()
}

// noteDestroyed writes down that one key stays, once.
func (s *Server) noteDestroyed(ctx context.Context, client, kept string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c := s.state.client(client); {
	case !c.signed[kept]:
		return refuse(CauseRefused, about{}, "no checkpoint of station %s was signed with the key that is to stay: the others are not destroyed before", client)
	case c.kept == kept:
		return nil
	}
	return s.write(ctx, ledger.ClientKeysDestroyed{Client: client, Kept: kept})
}

// sign signs a checkpoint of the station, and is its witness.
func (s *Server) sign(ctx context.Context, client string, q SignRequest) (SignAnswer, error) {
	size, root, err := readCheckpoint(client, q.Text)
	if err != nil {
		return SignAnswer{}, err
	}
	if q.Key == "" {
		return SignAnswer{}, fmt.Errorf("%w: no verifier key", errContent)
	}
	k, err := s.stationKeys(client, q.Key)
	if err != nil {
		return SignAnswer{}, err
	}
	if err := s.witness(ctx, client, ledger.CheckpointWitnessed{Client: client, Size: size, Root: root, Key: q.Key}); err != nil {
		return SignAnswer{}, err
	}
	signature, err := k.Signer().Sign([]byte(q.Text))
	if err == nil && len(signature) != ed25519.SignatureSize {
		err = fmt.Errorf("a signature of %d bytes", len(signature))
	}
	return SignAnswer{signature}, err
}

// maxGrowth is how many entries a ledger may have more than at its last checkpoint: with one of an absurd size signed, the station could sign no more.
const maxGrowth = 1 << 20

// witness refuses a checkpoint that goes back behind an earlier one.
func (s *Server) witness(ctx context.Context, client string, now ledger.CheckpointWitnessed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.state.client(client)
	was := c.seen
	if was == nil {
		was = &ledger.CheckpointWitnessed{}
	}
	if !c.rewound {
		switch {
		case *was == now:
			return nil
		case now.Size-was.Size > maxGrowth:
			return refuse(CauseRefused, about{}, "the last checkpoint that was signed for station %s has %d entries, and this one %d: more than %d at once are not signed for. If the ledger really has them, run `station keyserver rewound %s` on the key server", client, was.Size, now.Size, maxGrowth, client)
		case now.Size < was.Size:
			return refuse(CauseRollback, about{}, "a checkpoint of %d entries was signed for station %s, and this one has %d: its ledger was put back. If it was restored from a copy, run `station keyserver rewound %s` on the key server", was.Size, client, now.Size, client)
		case c.seen != nil && now.Size == was.Size && now.Root != was.Root:
			return refuse(CauseRollback, about{}, "another checkpoint of %d entries was signed for station %s: its ledger is not the one that it was. If it was restored from a copy, run `station keyserver rewound %s` on the key server", was.Size, client, client)
		}
	}
	return s.write(ctx, now)
}

// readCheckpoint takes apart the text of a checkpoint (C2SP tlog-checkpoint) of a station, and nothing else.
func readCheckpoint(client, text string) (size int64, root string, err error) {
	lines := strings.Split(text, "\n")
	if len(text) > maxText || len(lines) != 4 || lines[3] != "" {
		return 0, "", fmt.Errorf("%w: no text of a checkpoint", errContent)
	}
	if lines[0] != ledger.Origin(client) {
		return 0, "", refuse(CauseForeign, about{}, "it is a checkpoint of %.80q, and the certificate is that of station %s", lines[0], client)
	}
	size, err = strconv.ParseInt(lines[1], 10, 64)
	raw, err64 := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || err64 != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] || len(raw) != sha256.Size || base64.StdEncoding.EncodeToString(raw) != lines[2] {
		return 0, "", fmt.Errorf("%w: no text of a checkpoint", errContent)
	}
	return size, hex.EncodeToString(raw), nil
}
