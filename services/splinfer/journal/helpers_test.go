package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// someRecords are one of each kind, valid in this order.
func someRecords() []Record {
	return []Record{
		Begin{Model: "stories15m sha256:00", Persona: "plain", Parameters: json.RawMessage(`{"temp":0.8,"top-k":40}`), Seed: 42},
		Prompt{[]int32{1, 15043, 29892}},
		Run{[]Drawn{{3186, -0.25}}},
		Run{[]Drawn{{29991, -1.5}, {2, -3}}},
		Mask{Index: 4, ID: 0},
		Whisper{[]int32{7, 8}},
		Keep{7},
		End{"stop"},
	}
}

// equal compares records by what would be written of them.
func equal(a, b []Record) bool {
	return slices.EqualFunc(a, b, func(a, b Record) bool {
		x, errX := appendPayload(nil, a)
		y, errY := appendPayload(nil, b)
		return errX == nil && errY == nil && a.Kind() == b.Kind() && bytes.Equal(x, y)
	})
}

func kinds(records []Record) string {
	var s []Kind
	for _, r := range records {
		s = append(s, r.Kind())
	}
	return fmt.Sprint(s)
}

func openMemory(t *testing.T, m *memory, o Options) *Store {
	t.Helper()
	s, err := openDisk(m, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func conversation(t *testing.T, s *Store, id string) *Conversation {
	t.Helper()
	c, err := s.Conversation(id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func records(t *testing.T, c *Conversation) []Record {
	t.Helper()
	r, err := c.Records()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wants(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

// saying returns a write function for SaveState.
func saying(state string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, state)
		return err
	}
}

// state loads, reads and closes a state.
func state(c *Conversation) (int, string, error) {
	tokens, r, err := c.LoadState()
	if err != nil {
		return 0, "", err
	}
	b, err := io.ReadAll(r)
	return tokens, string(b), errors.Join(err, r.Close())
}

// clock ticks a second at each look.
func clock() func() time.Time {
	now := time.Unix(1_000_000, 0)
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}

func logTo(w io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: w, Level: hclog.Trace})
}
