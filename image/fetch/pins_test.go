package fetch

import (
	"strings"
	"testing"
)

func TestEmbeddedPinsAreValidAndSayWhatTheyAreFor(t *testing.T) {
	pins, err := parsePins(pinsText)
	if err != nil {
		t.Fatal(err)
	}
	if len(pins) < 15 {
		t.Errorf("only %d pins", len(pins))
	}
	lines := strings.Split(string(pinsText), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "- name:") && !strings.HasPrefix(lines[i-1], "# ") {
			t.Errorf("line %d: %q has no comment above it", i+1, line)
		}
	}
}

func TestBadPinsAreRefusedByNameAndField(t *testing.T) {
	good := "- name: a\n  registry: debian\n  version: 1\n  hash: " + sha256Hex("x") + "\n  size: 1\n  license: MIT\n"
	if _, err := parsePins([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, from, to, want string }{
		{"unknown key", "size: 1", "size: 1\n  mirror: x", "mirror"},
		{"unknown registry", "debian", "pypi", "pypi"},
		{"hash of the wrong kind", "sha256:", "sha1:", "sha256:hex"},
		{"hash too short", sha256Hex("x"), "sha256:abcd", "abcd"},
		{"no version", "version: 1\n", "version: \"\"\n", "version"},
		{"an option instead of a name", "name: a", "name: --config=x", "name"},
		{"no licence", "  license: MIT\n", "", "license"},
		{"twice", good, good + good, "twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parsePins([]byte(strings.Replace(good, c.from, c.to, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that names %q", err, c.want)
			}
		})
	}
}
