package ledger

// Change is what is made durable in one piece: entries, and what belongs to them and is no entry.
type Change struct {
	Bodies []Body
	// Escrow holds the ciphertext of every Sealed among Bodies, by its id, and nothing else. It is kept for ever.
	Escrow map[string][]byte
	// Notes are kept, by name, with the run of Bodies until it is settled, whatever settles it, and replace those of the same
	// name. They never enter the ledger. Deleting one need not wipe it from the disk, so a note must never hold a
	// secret or tell one: a keyed tag and signed packets do not.
	Notes map[string][]byte
	// Forget names earlier notes of the run to delete. One that is not there is no error.
	Forget []string
}
