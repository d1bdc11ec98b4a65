package kernel

import (
	"slices"
	"strings"
	"testing"

	"runa/services/hint"
)

// without is a machine that lacks some programs and headers.
type without []string

func (w without) hasProgram(name string) bool { return !slices.Contains(w, name) }
func (w without) hasHeader(name string) bool  { return !slices.Contains(w, name) }

func TestWhatIsMissingIsNamedWithTheCommandThatInstallsIt(t *testing.T) {
	err := checkTools(without{"bison", "xz", "gelf.h"})
	if err == nil || !strings.HasSuffix(err.Error(), "not on this machine: bison, xz, gelf.h") {
		t.Errorf("error = %v", err)
	}
	if got := hint.Of(err); got != "sudo apt-get install -y bison xz-utils libelf-dev" {
		t.Errorf("hint = %q", got)
	}
	if err := checkTools(without{}); err != nil {
		t.Errorf("a complete machine: %v", err)
	}
}

func TestTheCallersBuildSettingsDoNotReachTheCompiler(t *testing.T) {
	t.Setenv("CFLAGS", "-O0")
	t.Setenv("MAKEFLAGS", "-j99")
	t.Setenv("KBUILD_BUILD_USER", "somebody")
	environment := buildEnvironment()
	for _, setting := range environment {
		name, value, _ := strings.Cut(setting, "=")
		if name == "CFLAGS" || name == "MAKEFLAGS" || value == "somebody" {
			t.Errorf("%s reaches the compiler", setting)
		}
	}
	if !slices.Contains(environment, "KBUILD_BUILD_USER=runa") {
		t.Errorf("environment = %q lacks the fixed user", environment)
	}
}
