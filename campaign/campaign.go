// Package campaign tries to break the promises that matter most (never lose a secret, never do anything permanent twice, never lie about a unit, never forget
// one, never let one slot disturb another): thousands of whole-line stories, each drawn from a seed, with faults, deaths and restarts, and
// invariants that hold after each of them.
//
// What belongs here: stories through all rooms at once, from the engine down to simulated chips. What does not: faults of one room, which its own tests
// have, and anything that ships; there are tests here and no more.
//
// # A story
//
// One seed is one line: the engine, the ledger, the keyring, the rack and the drivers as they ship, over simulated programmers (an FT232H, a CH341A, both channels of
// an FT2232H) with four boards. An operator, drawn from the seed, puts boards into slots and scans them, mixes labels up now and then, closes and
// starts the station, and goes on when it died; in the last rounds nothing fails any more. Parts have 1 MiB, images 64 KiB; the recipe has every kind of
// permanent step that goes together. Ledgers lie in memory, and are not synced.
//
// # What is the same each time
//
// A story runs in a synctest bubble. A slot asks for leave before each USB transfer, before each commit and behind it, and one slot at a time gets it, drawn from
// the seed, when all that the slot before did is over. So the order of everything, the time, every fault, every frame's place, every outcome and every
// entry are the same whenever a seed is played; a test compares digests of whole stories. Not the same are random numbers of crypto/rand: ids of runs, secrets,
// nonces, ciphertexts, on which nothing depends.
package campaign
