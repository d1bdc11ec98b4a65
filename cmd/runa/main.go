// Command runa is the person's command on the appliance: chat, ask, status,
// logs and the rest. See package runa/services/runa.
package main

import (
	"context"
	"crypto/rand"
	"os"
	"os/signal"
	"time"

	"golang.org/x/term"

	"runa/services/runa"
)

// version is set by the linker.
var version = "development"

func main() {
	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, os.Interrupt)
	os.Exit(runa.Main(context.Background(), os.Args[1:], runa.Environment{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal:  term.IsTerminal(int(os.Stdout.Fd())),
		Typed:     term.IsTerminal(int(os.Stdin.Fd())),
		Interrupt: interrupt,
		Bus:       path("RUNA_BUS", "/run/runa/bus"),
		Control:   path("RUNA_CONTROL", "/run/gilgul/control.sock"),
		Import:    path("RUNA_IMPORT", "/data/import"),
		Meminfo:   "/proc/meminfo",
		Now:       time.Now,
		Trace:     trace,
		Patience:  time.Minute,
		NoteAfter: time.Second,
		Glance:    300 * time.Millisecond,
		Version:   version,
	}))
}

func path(variable, fallback string) string {
	if value := os.Getenv(variable); value != "" {
		return value
	}
	return fallback
}

func trace() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails: see crypto/rand
	return id
}
