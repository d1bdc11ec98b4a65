package sbom

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"

	"runa/image/fetch"
	"runa/image/inventory"
	"runa/services/hint"
)

func TestThePackageOfAPartIsFoundByItsOrigin(t *testing.T) {
	libc, err := fetch.Find("libc6")
	if err != nil {
		t.Fatal(err)
	}
	stub, err := fetch.Find("systemd-boot-efi")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		origin string
		want   []string
		bad    bool
	}{
		{libc.Origin(), []string{"libc6"}, false},
		{libc.Origin() + ": its loader", []string{"libc6"}, false},
		{"kernel and " + stub.Origin(), []string{"systemd-boot-efi"}, false},
		{stub.Origin() + " and " + libc.Origin(), []string{"systemd-boot-efi", "libc6"}, false},
		{"this repository, cmd/gilgul", nil, false},
		{libc.Origin() + "1", nil, true}, // another version
		{"debian package libnothing 1", nil, true},
		{"npm package nothing 1", nil, true},
	} {
		pins, err := pinsOf(inventory.Part{Origin: c.origin})
		if (err != nil) != c.bad {
			t.Errorf("%q: error %v", c.origin, err)
		}
		var got []string
		for _, p := range pins {
			got = append(got, p.Name)
		}
		if strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%q: got %v, want %v", c.origin, got, c.want)
		}
	}
}

func TestTheSourceOfADebianPackageIsFoundAsDebianWritesIt(t *testing.T) {
	for _, c := range []struct {
		text string
		want control
	}{
		{"Package: zstd\nVersion: 1.5\nArchitecture: amd64\n", control{"amd64", "zstd", "1.5"}},
		{"Package: libc6\nVersion: 2.36-9\nArchitecture: amd64\nSource: glibc\n", control{"amd64", "glibc", "2.36-9"}},
		{"Package: e2fsprogs\nVersion: 1.47.0-2+b2\nArchitecture: amd64\nSource: e2fsprogs (1.47.0-2)\n", control{"amd64", "e2fsprogs", "1.47.0-2"}},
		{"Package: a\nVersion: 1:2\nArchitecture: all\n", control{"all", "a", "1:2"}},
	} {
		if got, err := parseControl(c.text); err != nil || got != c.want {
			t.Errorf("%q: got %v, %v, want %v", c.text, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "Package: a\n", "Package: a\nVersion: 1\n", "Version: 1\nArchitecture: all\n"} {
		if _, err := parseControl(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestAReleaseOfLlamaThatIsNotNamedIsAnError(t *testing.T) {
	repository, release, err := parseLlama([]byte(`{"buildOptions":{"llamaCpp":{"repo":"some/llama.cpp","release":"b1"}}}`))
	if err != nil || repository != "some/llama.cpp" || release != "b1" {
		t.Errorf("got %q, %q, %v", repository, release, err)
	}
	for _, bad := range []string{"", "{}", `{"buildOptions":{"llamaCpp":{"repo":"llama","release":"b1"}}}`, `{"buildOptions":{"llamaCpp":{"repo":"a/b"}}}`} {
		if _, _, err := parseLlama([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestAProgramThatWasBuiltAgainMeanwhileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gilgul")
	if err := os.WriteFile(path, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := buildInfo(path, inventory.Part{Name: "gilgul", SHA256: "00"}); err == nil || hint.Of(err) == "" {
		t.Errorf("got %v, hint %q", err, hint.Of(err))
	}
}

func TestAPartThatIsListedTwiceIsAnError(t *testing.T) {
	part := inventory.Part{Name: "system", Kind: "boot", Origin: "the system's parts", Path: "disk:partition runa-system", SHA256: "00"}
	if _, err := Make(t.Context(), Spec{Version: "1", Parts: []inventory.Part{part, part}}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("got %v", err)
	}
}

func TestTheSerialNumberFollowsTheContent(t *testing.T) {
	number := func(name string, indent bool) string {
		bom := cyclonedx.NewBOM()
		bom.Components = &[]cyclonedx.Component{{Type: cyclonedx.ComponentTypeFile, Name: name}}
		text, err := encode(bom, indent)
		if err != nil {
			t.Fatal(err)
		}
		if bom.SerialNumber != "" {
			t.Error("the document that was given has changed")
		}
		_, after, _ := strings.Cut(string(text), "urn:uuid:")
		return after[:36]
	}
	if number("a", false) != number("a", true) {
		t.Error("it depends on the form")
	}
	if number("a", false) == number("b", false) {
		t.Error("two documents have the same")
	}
}

func FuzzControlDataIsReadOrRefused(f *testing.F) {
	f.Add("Package: e2fsprogs\nVersion: 1\nArchitecture: all\nSource: e (1)\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseControl(text)
		if err == nil && (c.architecture == "" || c.sourceName == "") {
			t.Errorf("%q: got %+v", text, c)
		}
	})
}

func FuzzWhatGoListPrintsIsReadOrRefused(f *testing.F) {
	f.Add("{}\n{\"Module\": {\"Path\": \"a/b\", \"Version\": \"v1\", \"Sum\": \"h1:x\"}}\n{\"Module\": {\"Path\": \"a/b\"}}")
	f.Fuzz(func(t *testing.T, text string) {
		modules, _ := parseModules(strings.NewReader(text))
		seen := map[string]bool{}
		for _, m := range modules {
			if seen[m.Path] {
				t.Errorf("%q: %s twice", text, m.Path)
			}
			seen[m.Path] = true
		}
	})
}

func FuzzWhatTheLlamaPackageSaysIsReadOrRefused(f *testing.F) {
	f.Add([]byte(`{"buildOptions":{"llamaCpp":{"repo":"a/b","release":"c"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if repository, release, err := parseLlama(text); err == nil && (repository == "" || release == "") {
			t.Errorf("%q: got %q, %q", text, repository, release)
		}
	})
}
