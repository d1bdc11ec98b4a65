// Package bench times the bus beside other ways to do the same on the same
// machine in the same minute: a unix socket, Redis, LMDB and libsplinter, as far
// as they are installed. It owns what is measured and how; it must never touch
// a bus in use: every round works in a folder of its own that it removes.
//
// Every contender does each operation in turns, round after round, so a machine
// that slows down slows all of them; the median over the rounds counts. Ratios
// are to splinter: 2.0 means that the other takes twice as long. Stores with a C
// interface are timed by a small C program (native/peer.c) compiled when the
// bench runs: a call from Go into C would cost more than the calls that are
// timed, and would make this program need a dynamic linker.
package bench

import _ "embed"

//go:embed native/peer.c
var peerSource []byte
