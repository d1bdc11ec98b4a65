package runa

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"runa/services/splinter"
)

func TestABusThatGilgulHasNotMadeYetIsWaitedFor(t *testing.T) {
	folder := t.TempDir()
	e := Environment{
		Err: io.Discard, Out: io.Discard, Bus: filepath.Join(folder, "bus"),
		Control: filepath.Join(folder, "control"), Patience: time.Minute,
	}
	if _, err := openInference(t.Context(), e); err == nil {
		t.Fatal("without gilgul there is nobody to make the bus, and yet it was opened")
	}
	if err := os.WriteFile(e.Control, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		model, err := openInference(t.Context(), e)
		if err == nil {
			model.Close()
		}
		opened <- err
	}()
	bus, err := splinter.Create(e.Bus, splinter.Options{Mode: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
}

func TestWaitingForABusEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if err := awaitFile(ctx, filepath.Join(t.TempDir(), "never")); err == nil {
		t.Fatal("a file that never came was found")
	}
}
