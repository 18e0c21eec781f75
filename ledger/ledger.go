// Package ledger is the account of what was done to every unit: entries and their canonical bytes, the Merkle
// tree over them, signed checkpoints, proofs, and the verification of all of it. It does no I/O: store
// keeps the bytes, report prints them, and whoever checks a record in ten years needs only this package.
//
// # Format, version 1
//
// An entry is one JSON object in the canonical form of RFC 8785, in UTF-8 without a final newline. These
// bytes are the leaf of an RFC 6962 Merkle tree (SHA-256), and what every digest, proof and index speaks of.
// Every entry has
//
//	v          1
//	kind       what happened, one of the Kind constants
//	station    the station's id
//	simulated  true on a simulated station, absent otherwise
//	time       wall time, RFC 3339, UTC, microseconds: "2026-11-23T09:30:00.000000Z"
//	boot_ns    nanoseconds since the station's PC booted, a decimal string: RFC 8785 numbers are
//	           doubles and would lose nanoseconds after 104 days
//
// and the fields of its kind, which are the JSON fields of the body type of that name in this package.
// Digests are "sha256:" and 64 lower-case hex digits; addresses and sizes are JSON numbers, in bytes; durations are in
// milliseconds; a list with nothing in it is [] or null. Order is by index in the tree, never by time.
//
// The first entry, and no other, is station.init. It names the key of the checkpoints, until a station.key names another (Chain). What a run's entries may be
// and in which order they stand is written at Progress.After, what holds across runs at RunStart.CheckRework, and of jobs and shifts at Floor.After. A ledger that was
// restored from a copy goes on with station.epoch (StationEpoch). Station and simulated never change.
//
// The head of the tree is a C2SP tlog-checkpoint in a signed note: three lines, origin "station/<station id>", number
// of entries, and root hash in base64, signed by the Ed25519 key whose name is the origin line; the first one that covers a station.key is signed by the key before
// it too (Chain.Signers).
//
// testdata/v1 holds entries, their leaf hashes and checkpoints over them, for whoever writes another reader.
package ledger
