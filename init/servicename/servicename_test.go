package servicename

import (
	"regexp"
	"strings"
	"testing"
)

func TestNamesThatAFolderAndAKeyCanHave(t *testing.T) {
	for name, want := range map[string]bool{
		"splinter": true, "a": true, "a-1-": true, strings.Repeat("a", longest): true,
		"": false, "-a": false, "1a": false, "A": false, "a.b": false, "a/b": false, "..": false, "a\n": false, "ä": false,
		strings.Repeat("a", longest+1): false,
	} {
		if Valid(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

func FuzzValid(f *testing.F) {
	f.Add("splinter-2")
	like := regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	f.Fuzz(func(t *testing.T, name string) {
		if Valid(name) != like.MatchString(name) {
			t.Errorf("%q: %v", name, Valid(name))
		}
	})
}
