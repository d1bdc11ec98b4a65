package kernel

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"runa/services/hint"
)

// repositoryConfig is the real kernel-config folder.
const repositoryConfig = "../../kernel-config"

// writeConfig makes a kernel-config folder of the given files.
func writeConfig(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFragmentsAreComposedInOrderWithTheirPlaces(t *testing.T) {
	dir := writeConfig(t, map[string]string{
		"targets.yaml": "vm:\n  fragments: [base, disk]\n  steps: 7\n",
		"base.config":  "# why\nCONFIG_B=y\n\nCONFIG_NAME=\"runa\"\n",
		"disk.config":  "CONFIG_A=n\nCONFIG_B=y\nCONFIG_NUMBER=-1\nCONFIG_AT=0x1f0\n",
		"other.config": "CONFIG_B=n\n",
	})
	config, err := Compose(dir, "vm")
	if err != nil {
		t.Fatal(err)
	}
	want := "CONFIG_B=y\nCONFIG_NAME=\"runa\"\nCONFIG_A=n\nCONFIG_NUMBER=-1\nCONFIG_AT=0x1f0\n"
	if got := string(config.Text()); got != want {
		t.Errorf("composed:\n%swant:\n%s", got, want)
	}
	if got := config.Symbols[1].Place(); got != "base.config:4" {
		t.Errorf("place of CONFIG_NAME is %s, want base.config:4", got)
	}
	if config.Steps != 7 {
		t.Errorf("steps = %d, want 7", config.Steps)
	}
}

func TestACommentDoesNotChangeWhatIsComposed(t *testing.T) {
	one := writeConfig(t, map[string]string{"targets.yaml": "vm: {fragments: [a]}", "a.config": "CONFIG_A=y\n"})
	two := writeConfig(t, map[string]string{"targets.yaml": "vm: {fragments: [a]}", "a.config": "# better\n\nCONFIG_A=y"})
	first, err := Compose(one, "vm")
	if err != nil {
		t.Fatal(err)
	}
	second, err := Compose(two, "vm")
	if err != nil {
		t.Fatal(err)
	}
	if string(first.Text()) != string(second.Text()) {
		t.Errorf("a comment changed the text from %q to %q", first.Text(), second.Text())
	}
}

func TestBadConfigurationsNameTheirPlace(t *testing.T) {
	targets := "vm:\n  fragments: [a, b]\n"
	for _, c := range []struct {
		name, targets, a, b string
		want                []string
	}{
		{"contradiction", targets, "CONFIG_X=y\n", "\nCONFIG_X=n\n", []string{"b.config:2", "CONFIG_X=n", "CONFIG_X=y", "a.config:1"}},
		{"twice in one file", targets, "CONFIG_X=y\nCONFIG_X=y\n", "", []string{"a.config:2", "CONFIG_X", "a.config:1"}},
		{"module", targets, "CONFIG_X=m\n", "", []string{"a.config:1", "CONFIG_X", "module"}},
		{"not set", targets, "# CONFIG_X is not set\n", "", []string{"a.config:1", "CONFIG_X=n"}},
		{"no value", targets, "CONFIG_X\n", "", []string{"a.config:1", "CONFIG_NAME=value"}},
		{"bad name", targets, "config_x=y\n", "", []string{"a.config:1", "config_x"}},
		{"bad value", targets, "CONFIG_X=yes\n", "", []string{"a.config:1", "CONFIG_X", "yes"}},
		{"open string", targets, "CONFIG_X=\"a\n", "", []string{"a.config:1", "CONFIG_X"}},
		{"missing fragment", "vm:\n  fragments: [c]\n", "", "", []string{"vm", "c.config"}},
		{"path as fragment", "vm:\n  fragments: [../a]\n", "", "", []string{"../a"}},
		{"unknown key", "vm:\n  fragment: [a]\n", "", "", []string{"targets.yaml", "[2:3]", "fragment"}},
		{"no fragments", "vm: {}\n", "", "", []string{"targets.yaml", "vm"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := writeConfig(t, map[string]string{"targets.yaml": c.targets, "a.config": c.a, "b.config": c.b})
			_, err := Compose(dir, "vm")
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not name %q", err, part)
				}
			}
		})
	}
}

func TestAnUnknownTargetIsAnsweredWithTheKnownOnes(t *testing.T) {
	dir := writeConfig(t, map[string]string{"targets.yaml": "vm: {fragments: [a]}\nxen: {fragments: [a]}\n"})
	_, err := Compose(dir, "toaster")
	if err == nil || !strings.Contains(err.Error(), `"toaster"`) {
		t.Fatalf("error = %v, want one that names the target", err)
	}
	if got := hint.Of(err); got != "the targets are: vm, xen" {
		t.Errorf("hint = %q", got)
	}
}

func TestTheRepositorysTargetComposes(t *testing.T) {
	config, err := Compose(repositoryConfig, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]string{}
	for _, s := range config.Symbols {
		asked[s.Name] = s.Value
	}
	for name, value := range map[string]string{
		"CONFIG_MODULES":                         "n",
		"CONFIG_KERNEL_GZIP":                     "y",
		"CONFIG_CFS_BANDWIDTH":                   "y",
		"CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES":     "y",
		"CONFIG_SECURITY_LANDLOCK":               "y",
		"CONFIG_SERIAL_8250_CONSOLE":             "y",
		"CONFIG_IPV6":                            "n",
		"CONFIG_MAGIC_SYSRQ":                     "n",
		"CONFIG_PROC_MEM_NO_FORCE":               "y",
		"CONFIG_CC_OPTIMIZE_FOR_PERFORMANCE":     "y",
		"CONFIG_SECURITY_LOCKDOWN_LSM_EARLY":     "y",
		"CONFIG_MITIGATION_PAGE_TABLE_ISOLATION": "y",
	} {
		if asked[name] != value {
			t.Errorf("%s is asked for as %q, want %q", name, asked[name], value)
		}
	}
	if !strings.Contains(asked["CONFIG_LSM"], "landlock") {
		t.Errorf("CONFIG_LSM = %s does not list landlock", asked["CONFIG_LSM"])
	}
	if config.Steps == 0 {
		t.Error("the steps of the target were never measured")
	}
}

func TestEveryFragmentOfTheRepositoryIsUsed(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(repositoryConfig, "*.config"))
	if err != nil || len(files) == 0 {
		t.Fatalf("fragments: %v, %v", files, err)
	}
	entry, err := readTarget(repositoryConfig, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".config")
		if !slices.Contains(entry.Fragments, name) {
			t.Errorf("no target takes %s.config", name)
		}
	}
}

func FuzzParseFragment(f *testing.F) {
	f.Add([]byte("# c\nCONFIG_A=y\nCONFIG_B=\"x y\"\n\nCONFIG_C=0x10\nCONFIG_D=-1\n"))
	f.Add([]byte("CONFIG_A=m"))
	f.Add([]byte("# CONFIG_A is not set\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		symbols, err := parseFragment("f.config", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f.config:") {
				t.Fatalf("error %q does not begin with file and line", err)
			}
			return
		}
		// What was understood, written out, is understood the same.
		again, err := parseFragment("f.config", Config{Symbols: symbols}.Text())
		if err != nil || len(again) != len(symbols) {
			t.Fatalf("%d symbols, written out and read again: %d, %v", len(symbols), len(again), err)
		}
		for i := range symbols {
			if again[i].String() != symbols[i].String() {
				t.Fatalf("%s became %s", symbols[i], again[i])
			}
		}
	})
}
