package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var errEnough = errors.New("enough")

// cutAfter is an output that lets so many lines through.
type cutAfter struct {
	lines int
	bytes.Buffer
}

func (c *cutAfter) Write(p []byte) (int, error) {
	if c.lines--; c.lines < 0 {
		return 0, errEnough
	}
	return c.Buffer.Write(p)
}

// written has what 30 safe pieces leave, 10 of each kind.
func written(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "scribe")
	out := &cutAfter{lines: 30}
	if err := write(folder, out); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	if !strings.HasSuffix(out.String(), "safe notes 10\nsafe journal 10\nsafe page 10\n") {
		t.Fatalf("it said\n%s", out.String())
	}
	return folder
}

func checked(t *testing.T, folder string) string {
	t.Helper()
	var out bytes.Buffer
	if err := check(folder, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestWhatIsSafeIsFoundAndGoneOnWith(t *testing.T) {
	folder := written(t)
	// The next piece was kept, though nobody was told.
	if got := checked(t, folder); got != "whole notes 11\nwhole journal 10\nwhole page 10\n" {
		t.Errorf("found\n%s", got)
	}
	out := &cutAfter{lines: 2}
	if err := write(folder, out); !errors.Is(err, errEnough) || out.String() != "safe notes 12\nsafe journal 11\n" {
		t.Errorf("it went on with\n%s", out.String())
	}
}

func TestALostPieceIsNoticed(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(folder string) error
		want string
	}{
		"a note is gone":        {func(f string) error { return os.Remove(f + "/notes/7") }, "notes: there are 10, but number 7 is missing"},
		"a note is empty":       {func(f string) error { return os.Truncate(f+"/notes/7", 0) }, "notes: number 7 is not whole: 0 bytes"},
		"a note is garbled":     {func(f string) error { return garble(f+"/notes/7", 3) }, "notes: number 7 is not whole"},
		"the last note is gone": {func(f string) error { return os.Remove(f + "/notes/11") }, "whole notes 10\n"},
		"the journal is gone":   {func(f string) error { return os.Remove(f + "/journal") }, "whole journal 0\n"},
		"the journal is cut":    {func(f string) error { return os.Truncate(f+"/journal", journal{}.end(8)-1) }, "whole journal 7\n"},
		"the journal is hit":    {func(f string) error { return garble(f+"/journal", journal{}.end(4)+5) }, "whole journal 4\n"},
		"the page is gone":      {func(f string) error { return os.Remove(f + "/page") }, "whole page 0\n"},
		"the page is empty":     {func(f string) error { return os.Truncate(f+"/page", 0) }, "page: it is not whole"},
		"the page is garbled":   {func(f string) error { return garble(f+"/page", 9) }, "page: version 10 is not whole"},
		"the page is old":       {func(f string) error { return os.WriteFile(f+"/page", piece("page", 9), 0o600) }, "whole page 9\n"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := written(t)
			if err := c.harm(folder); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err := check(folder, &out)
			if said := fmt.Sprint(out.String(), err); !strings.Contains(said, c.want) {
				t.Errorf("it said %q, want %q", said, c.want)
			}
		})
	}
}

// garble changes one byte.
func garble(path string, at int64) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	one := make([]byte, 1)
	_, err = file.ReadAt(one, at)
	one[0] ^= 1
	_, err2 := file.WriteAt(one, at)
	return errors.Join(err, err2, file.Close())
}

func TestWhatIsNotUnderstoodIsSaid(t *testing.T) {
	for _, words := range [][]string{nil, {"write"}, {"check", "a", "b"}, {"read", "a"}} {
		if err := run(words, io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", words, err)
		}
	}
}
