// Package performance holds the station's speed: for each promise about it a test that computes the number, on the shipped code over
// the simulated line, and fails where the promise is not kept. `make bench` runs all of them in full size and writes the table of
// docs/performance.md.
//
// What belongs here: numbers that go through several rooms, against a rival or a physical limit. What does not: benchmarks of one room,
// which live in it, and anything that ships; there are tests here and no more.
//
// # Times
//
// A modelled time is what wire, USB frames and flash take in a synctest bubble: the same on every machine, to the nanosecond. The computer's own work takes none of it.
// That is counted in CPU seconds, by a profile in which samples with a function of sim on their stack are the simulator's.
package performance
