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
// # Fault model
//
// Faults happen at a moment of one slot: a USB transfer, a commit, or behind one. Those of the wire come in three: the programmer took nothing of the transfer (not done), all of it and nobody heard what it
// answered (done and unanswered), or a part. In the code and in the counts they are called:
//
//	station killed at a transfer      SIGKILL: nothing that this life would still have done happens. Boards keep their power, or lose it; the computer's USB too
//	station killed before, after a commit, before a checkpoint
//	disk full                         nothing of the commit was written
//	fsync fails                       the commit is there, or it is lost with the next start
//	mirror gone                       its directory, before a commit, or between the ledger's part of it and the mirror's; it comes back with the next round
//	unplugged, time-out, stall        the programmer's USB; of an FT2232H that is pulled both slots suffer
//	stopped by a person               Ctrl-C
//	power cut between operations      of the chip
//	power cut within an operation     a page half programmed, a sector half erased; of one-time words a password, the OTP area and a root key may tear, a mode, a lock bit and a counter hold or do not
//	power cut behind an operation     done, and the chip is gone
//	board taken out, board swapped    another one, or the same, is put in a second later
//	weak contact                      bits of what the chip answers, from every 50th byte to every 50,000th
//	bits flipped to the chip          likewise, of what it is told: commands, addresses, data
//	bytes lost                        likewise; the chip misses their clocks
//	stuck busy, programs fail         for good
//	chip lies                         from the beginning: lock bits that protect nothing, a password or a protection register that reads blank
//	labels mixed up                   two boards are scanned for each other
//	clock jumps                       the wall clock, by up to two days, either way
//	key server does not answer        in the midst of a conversation; only where the recipe has signed commands (TestSignedStories)
//
// A power cut of the computer is a death, since what a commit has acknowledged is there afterwards, and what it has not may be; that bbolt holds whole transactions through a real kill is for the tests of
// store. Faults of a programmer's firmware byte by byte are for those of the drivers.
//
// # What is the same each time
//
// A story runs in a synctest bubble. A slot asks for leave before each USB transfer, before each commit and behind it, and one slot at a time gets it, drawn from
// the seed, when all that the slot before did is over. So the order of everything, the time, every fault, every frame's place, every outcome and every
// entry are the same whenever a seed is played; a test compares digests of whole stories. Not the same are random numbers of crypto/rand: ids of runs, secrets,
// nonces, ciphertexts, on which nothing depends.
package campaign
