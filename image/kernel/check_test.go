package kernel

import (
	"strings"
	"testing"
	"testing/fstest"

	"runa/services/hint"
)

// dotConfig is a piece of a real .config. SECCOMP_FILTER was asked for, but
// without NET the kernel's tools left it out.
const dotConfig = `#
# Automatically generated file; DO NOT EDIT.
#
CONFIG_CC_VERSION_TEXT="gcc (Debian 12.2.0-14+deb12u1) 12.2.0"
CONFIG_64BIT=y
# CONFIG_MODULES is not set
CONFIG_SECCOMP=y
CONFIG_DEFAULT_HOSTNAME="(none)"
CONFIG_PANIC_TIMEOUT=-1
CONFIG_KEYS=y
`

func known(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}

func askedFor(t *testing.T, text string) Config {
	t.Helper()
	symbols, err := parseFragment("confine.config", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return Config{Target: "vm", Symbols: symbols}
}

func TestAConfigurationThatKeptEverythingPasses(t *testing.T) {
	config := askedFor(t, "CONFIG_64BIT=y\nCONFIG_MODULES=n\nCONFIG_PANIC_TIMEOUT=-1\nCONFIG_ABSENT=n\nCONFIG_DEFAULT_HOSTNAME=\"(none)\"\n")
	if err := Check(config, strings.NewReader(dotConfig), known("64BIT", "MODULES", "PANIC_TIMEOUT", "ABSENT", "DEFAULT_HOSTNAME")); err != nil {
		t.Error(err)
	}
}

func TestADroppedSymbolIsNamedWithWhatWasAskedAndGot(t *testing.T) {
	all := known("SECCOMP", "SECCOMP_FILTER", "PANIC_TIMEOUT", "KEYS", "DEFAULT_HOSTNAME")
	for _, c := range []struct{ name, text, want string }{
		{
			"unmet dependency", "CONFIG_SECCOMP=y\nCONFIG_SECCOMP_FILTER=y\n",
			"confine.config:2: CONFIG_SECCOMP_FILTER was asked for as y but is n",
		},
		{
			"changed number", "CONFIG_PANIC_TIMEOUT=10\n",
			"confine.config:1: CONFIG_PANIC_TIMEOUT was asked for as 10 but is -1",
		},
		{
			"selected against n", "# why\nCONFIG_KEYS=n\n",
			"confine.config:2: CONFIG_KEYS was asked for as n but is y",
		},
		{
			"changed string", "CONFIG_DEFAULT_HOSTNAME=\"runa\"\n",
			`confine.config:1: CONFIG_DEFAULT_HOSTNAME was asked for as "runa" but is "(none)"`,
		},
		{
			"unknown name behind n", "CONFIG_KEY=n\n",
			"confine.config:1: this kernel has no symbol CONFIG_KEY",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Check(askedFor(t, c.text), strings.NewReader(dotConfig), all)
			if err == nil || !strings.HasSuffix(err.Error(), ": "+c.want) {
				t.Errorf("error = %v\nwant it to end in %s", err, c.want)
			}
		})
	}
}

func TestAllDroppedSymbolsAreNamedAndTheHintNamesTheFirst(t *testing.T) {
	config := askedFor(t, "CONFIG_FIRST=y\nCONFIG_SECCOMP=y\nCONFIG_SECOND=y\n")
	err := Check(config, strings.NewReader(dotConfig), known("FIRST", "SECCOMP", "SECOND"))
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"confine.config:1: CONFIG_FIRST", "confine.config:3: CONFIG_SECOND"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not name %q", err, part)
		}
	}
	if got := hint.Of(err); !strings.Contains(got, `"config FIRST"`) {
		t.Errorf("hint = %q, want it to name config FIRST", got)
	}
}

func TestADamagedDotConfigIsAnError(t *testing.T) {
	err := Check(askedFor(t, "CONFIG_64BIT=y\n"), strings.NewReader("CONFIG_64BIT=y\nmake: error\n"), known("64BIT"))
	if err == nil || !strings.Contains(err.Error(), "make: error") {
		t.Errorf("error = %v, want one that shows the line", err)
	}
}

func TestKnownSymbolsComeFromKconfigFilesOnly(t *testing.T) {
	source := fstest.MapFS{
		"Kconfig":                 {Data: []byte("mainmenu \"x\"\n\nsource \"fs/Kconfig\"\n")},
		"fs/Kconfig":              {Data: []byte("menuconfig MISC\n\tbool\n\nif MISC\nconfig EXT4_FS # c\n\tdepends on BLOCK\nendif\n")},
		"security/Kconfig.harden": {Data: []byte("\tconfig INNER\n")},
		"fs/notes":                {Data: []byte("config NOTED\n")},
	}
	got, err := knownSymbols(source)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || !got["MISC"] || !got["EXT4_FS"] || !got["INNER"] {
		t.Errorf("known = %v, want MISC, EXT4_FS and INNER", got)
	}
}
