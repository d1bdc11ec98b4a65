package enclosure

import (
	"encoding/json"
	"path"
	"reflect"
	"strings"
	"testing"
)

// sound are orders that are in order, for three open files.
func sound() Orders {
	return Orders{
		Exec: "/bin/a", Args: []string{"/bin/a", "-x"}, Env: []string{"A=b"}, Dir: "/", UID: 101, GID: 100, Namespaces: true, Groups: true,
		Mounts: []Mount{
			{At: "/bin/a", From: "/data/versions/a", Tree: 2, Kind: Program},
			{At: "/data/a", From: "/data/a", Tree: -1, Folder: true, Kind: Write},
		},
		Links: []Link{{At: "/lib", To: "usr/lib"}},
		Files: 64, Processes: 8, Landlock: true, Seccomp: true, Profile: "service", Report: true, Stdout: 0, Stderr: 1, Notify: 1,
	}
}

func TestSoundOrdersAreReadAsTheyWereWritten(t *testing.T) {
	text, err := json.Marshal(sound())
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(text, 3)
	if err != nil || !reflect.DeepEqual(got, sound()) {
		t.Errorf("%v\n%+v", err, got)
	}
	if _, err := Parse([]byte(rehearsal), 1); err != nil {
		t.Errorf("the rehearsal: %v", err)
	}
}

func TestUnsoundOrdersAreRefusedWithTheReason(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(*Orders)
	}{
		{"args: the program's name is missing", func(o *Orders) { o.Args = nil }},
		{`"a\x00": a zero byte`, func(o *Orders) { o.Args = []string{"a\x00"} }},
		{"a zero byte", func(o *Orders) { o.Env = []string{"\x00"} }},
		{`exec: "bin/a" is not a clean absolute path`, func(o *Orders) { o.Exec = "bin/a" }},
		{`dir: "/a/.." is not a clean absolute path`, func(o *Orders) { o.Dir = "/a/.." }},
		{"notify: there is no open file 3", func(o *Orders) { o.Notify = 3 }},
		{"stdout: there is no open file -1", func(o *Orders) { o.Stdout = -1 }},
		{"/bin/a: there is no open file 7", func(o *Orders) { o.Mounts[0].Tree = 7 }},
		{"there is no open file -2", func(o *Orders) { o.Mounts[0].Tree = -2 }},
		{"the root itself can't be given", func(o *Orders) { o.Mounts[0].At = "/" }},
		{`"/a/../etc" is not a clean absolute path`, func(o *Orders) { o.Mounts[0].At = "/a/../etc" }},
		{`unknown kind "all"`, func(o *Orders) { o.Mounts[0].Kind = "all" }},
		{"link /lib to \"\": no path", func(o *Orders) { o.Links[0].To = "" }},
		{"root is nobody's service", func(o *Orders) { o.UID = 0 }},
		{"root is nobody's service", func(o *Orders) { o.GID = 0 }},
	} {
		o := sound()
		c.change(&o)
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(text, 3); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	for text, want := range map[string]string{
		"":                           "read the orders: EOF",
		"{":                          "unexpected EOF",
		`{"shell":"/bin/sh"}`:        `unknown field "shell"`,
		`{} {}`:                      "something follows them",
		`{"uid":-1}`:                 "cannot unmarshal",
		strings.Repeat(" ", 1<<17+1): "131072 at most",
	} {
		if _, err := Parse([]byte(text), 3); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want %s", text, err, want)
		}
	}
}

func FuzzOrders(f *testing.F) {
	text, err := json.Marshal(sound())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, 3)
	f.Add([]byte(rehearsal), 1)
	f.Fuzz(func(t *testing.T, text []byte, files int) {
		o, err := Parse(text, files)
		if err != nil {
			return
		}
		// What was accepted can be followed without looking again.
		numbers := []int{o.Stdout, o.Stderr, o.Notify}
		paths := []string{o.Exec, o.Dir}
		for _, m := range o.Mounts {
			if m.Tree >= 0 {
				numbers = append(numbers, m.Tree)
			}
			paths = append(paths, m.At, m.From)
		}
		for _, number := range numbers {
			if number < 0 || number >= files {
				t.Errorf("open file %d of %d", number, files)
			}
		}
		for _, p := range paths {
			if !strings.HasPrefix(p, "/") || path.Clean(p) != p {
				t.Errorf("path %q", p)
			}
		}
		if len(o.Args) == 0 || o.Namespaces && o.UID == 0 {
			t.Errorf("%+v", o)
		}
	})
}
