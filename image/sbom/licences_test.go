package sbom

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// folderOf makes a folder with the given files.
func folderOf(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// realText is the licence of Go itself.
func realText(t testing.TB) string {
	t.Helper()
	said, err := (&builder{}).ask(t.Context(), nil, "env", "GOROOT")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(said), "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestALicenceIsWhatItsTextSays(t *testing.T) {
	whole := realText(t)
	const bsd = "BSD-3-Clause"
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"usual":          {map[string]string{"LICENSE": whole}, bsd},
		"other names":    {map[string]string{"licence.txt": whole, "COPYING": whole, "LICENSE-BSD": whole}, bsd},
		"none":           {map[string]string{"README.md": whole, "main.go": "package main"}, ""},
		"cut off":        {map[string]string{"LICENSE": whole[:len(whole)/2]}, ""},
		"not a licence":  {map[string]string{"LICENSE": strings.Repeat("do as you please ", 99)}, ""},
		"something else": {map[string]string{"LICENSE": whole + strings.Repeat("\nand moreover, something else", 99)}, ""},
		"too long":       {map[string]string{"LICENSE": whole + strings.Repeat("\n", longestLicence)}, ""},
	} {
		if got, err := licenceIn(folderOf(t, c.files)); err != nil || got != c.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "LICENSE"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := licenceIn(folder); err != nil || got != "" {
		t.Errorf("a folder of that name: %q, %v", got, err)
	}
	if _, err := licenceIn(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a folder that isn't there has a licence")
	}
}

func TestGoIsAskedForTheModulesThatItCompiled(t *testing.T) {
	b := &builder{Spec: Spec{Root: "../.."}}
	licences, err := b.licencesOf(t.Context(), []*debug.Module{{Path: "golang.org/x/sys"}, {Path: "github.com/hashicorp/go-hclog"}})
	if err != nil {
		t.Fatal(err)
	}
	for module, want := range map[string]string{standardLibrary: "BSD-3-Clause", "golang.org/x/sys": "BSD-3-Clause", "github.com/hashicorp/go-hclog": "MIT"} {
		if licences[module] != want {
			t.Errorf("%s: %q", module, licences[module])
		}
	}
	if _, err := b.licencesOf(t.Context(), []*debug.Module{{Path: "example.org/nothing"}}); err == nil || !strings.Contains(err.Error(), "example.org/nothing") {
		t.Errorf("a module that nobody knows: %v", err)
	}
	if licences, err := b.licencesOf(t.Context(), nil); err != nil || len(licences) != 1 {
		t.Errorf("without modules: %v, %v", licences, err)
	}
}

func FuzzLicenceIn(f *testing.F) {
	f.Add([]byte(realText(f)))
	f.Add([]byte("\xff\xfe\x00LICENSE"))
	folder := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(folder, "LICENSE"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if expression, err := licenceIn(folder); err != nil || strings.ContainsAny(expression, "\n\"") {
			t.Errorf("%q, %v", expression, err)
		}
	})
}
