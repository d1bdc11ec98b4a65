package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"runa/services/splinter"
)

func TestEachAttemptIsToldAndABreachIsAnError(t *testing.T) {
	refused := attempt{"one", func() error { return errors.New("not allowed") }}
	breach := attempt{"two", func() error { return nil }}
	var out bytes.Buffer
	if err := judge(&out, []attempt{refused, refused}); err != nil {
		t.Error(err)
	}
	if err := judge(&out, []attempt{refused, breach}); err == nil {
		t.Error("a breach is no error")
	}
	if got := out.String(); !strings.Contains(got, "refused one: not allowed\n") || !strings.Contains(got, "BREACH two\nhostile: 2 attempts, 1 breaches\n") {
		t.Error(got)
	}
	untried := attempt{"three", func() error { return fmt.Errorf("%w: a mistake", errUntried) }}
	if err := judge(&out, []attempt{untried}); !errors.Is(err, errUntried) {
		t.Errorf("got %v", err)
	}
}

// On a bus that enforces nothing every attempt is a breach: so it is the rights
// that refuse them in the image, and not a mistake in the attempt.
func TestTheAttemptsOnTheBusSucceedWhereNothingForbidsThem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	bus, err := splinter.Create(path, splinter.Options{Mode: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	for _, key := range []string{"service/splinter/heartbeat", "service/splinfer/model"} {
		if err := bus.Set(key, []byte("there")); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range onTheBus(bus) {
		if err := a.do(); err != nil {
			t.Errorf("%s: %v", a.name, err)
		}
	}
}

func TestWhatIsNotUnderstoodIsSaid(t *testing.T) {
	for _, words := range [][]string{nil, {"pray"}, {"try", "again"}} {
		if err := run(words, &bytes.Buffer{}); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", words, err)
		}
	}
}
