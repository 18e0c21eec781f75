package main

import (
	"testing"

	"station/keyring"
)

// An escrow that is not for everybody who was to have it is not taken for one.
func TestCheckSealedCountsRecipients(t *testing.T) {
	const audit, owner = "age1pd3v8p074xuvrdrfp39gcqlux52xtnph95yyum53xgxhvkfc7q9q4znv4l", "age1wup67hrsaz5wgjhwwwhrqr8vmmdf9rtetuy9prukx985csd6ygws3fu2yy"
	s := secrets{groups: []escrowGroup{{Name: "audit", Recipients: []string{audit}}, {Name: "owner", Recipients: []string{owner, audit}}}}
	text, to, err := s.Seal([]string{"audit", "owner"}, []byte("8 bytes!"))
	if err != nil || len(to) != 2 || to[1].Group != "owner" || to[1].Fingerprint != keyring.Fingerprint(owner) {
		t.Fatalf("%v, %v", to, err)
	}
	for recipients, good := range map[int]bool{1: false, 2: true, 3: false} {
		if err := s.CheckSealed(text, recipients); (err == nil) != good {
			t.Errorf("%d recipients: %v", recipients, err)
		}
	}
	if err := s.CheckSealed(text[:len(text)-40], 2); err == nil {
		t.Error("half an escrow is whole")
	}
	if _, _, err := s.Seal([]string{"nobody"}, []byte("8 bytes!")); err == nil {
		t.Error("sealed to a group that is not there")
	}
}
