package boot

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestCommandLineIsSplitAsTheKernelDoes(t *testing.T) {
	for text, want := range map[string]CommandLine{
		"":                               nil,
		"quiet\n":                        {{"quiet", ""}},
		" a=1  b ":                       {{"a", "1"}, {"b", ""}},
		`x="two words" y`:                {{"x", "two words"}, {"y", ""}},
		`"x=two words"`:                  {{"x", "two words"}},
		"root=PARTUUID=12-34 -- single":  {{"root", "PARTUUID=12-34"}, {"single", ""}},
		`broken="never closed and so on`: {{"broken", "never closed and so on"}},
		"=5":                             nil,
	} {
		if got := ParseCommandLine(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestLastValueWinsAndDashesAreUnderscores(t *testing.T) {
	line := ParseCommandLine("gilgul.power-off=no gilgul.power_off=reset")
	if v, ok := line.Value("gilgul.power_off"); v != "reset" || !ok {
		t.Errorf("got %q, %v", v, ok)
	}
	if v, ok := line.Value("absent"); v != "" || ok {
		t.Errorf("got %q, %v for an option that isn't there", v, ok)
	}
}

func TestConsolesAreNamedOnceAndStayBelowDev(t *testing.T) {
	line := ParseCommandLine("console=ttyS0,115200n8 console=tty0 console=ttyS0 console=../../etc/shadow console=null console= console=hvc0")
	want := []Terminal{{"ttyS0", 115200}, {"tty1", 0}, {"hvc0", 0}}
	if got := line.Consoles(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzCommandLine(f *testing.F) {
	f.Add(`console=ttyS0,115200 a="b c" -- x`)
	f.Add("\"\"\"= \x00\xff")
	f.Fuzz(func(t *testing.T, text string) {
		line := ParseCommandLine(text)
		for _, o := range line {
			if o.Name == "" || strings.Contains(o.Name, "=") {
				t.Errorf("name %q from %q", o.Name, text)
			}
		}
		for _, c := range line.Consoles() {
			if strings.ContainsAny(c.Name, "/.") {
				t.Errorf("console %q leads out of /dev", c.Name)
			}
		}
	})
}

func TestAFailedStepDoesNotStopTheNext(t *testing.T) {
	cause := errors.New("no such device")
	var ran []string
	failures := Run([]Step{
		{Name: "first", Do: func() error { ran = append(ran, "first"); return cause }},
		{Name: "second", Vital: true, Do: func() error { ran = append(ran, "second"); return cause }},
		{Name: "third", Do: func() error { ran = append(ran, "third"); return nil }},
	})
	if len(ran) != 3 || len(failures) != 2 || failures[0].Vital || !failures[1].Vital {
		t.Fatalf("ran %v, failures %v", ran, failures)
	}
	if failures[0].Error() != "first: no such device" || !errors.Is(failures[0], cause) {
		t.Errorf("got %q", failures[0].Error())
	}
}

func TestSysctlsAreWrittenWhereTheKernelHasThem(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "kernel/dmesg_restrict")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := (Sysctl{"kernel.dmesg_restrict", "1"}).write(root); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "1\n" {
		t.Errorf("wrote %q", got)
	}
	if err := (Sysctl{"nothing.of_this", "1"}).write(root); err != nil {
		t.Errorf("a setting the kernel lacks: %v", err)
	}
}

func TestAMissingControllerIsNamedAndTheOthersEnabled(t *testing.T) {
	root := t.TempDir()
	os.WriteFile(filepath.Join(root, "cgroup.controllers"), []byte("cpuset cpu memory pids\n"), 0o644)
	os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), nil, 0o644)
	err := EnableControllers(root)
	if err == nil || !strings.Contains(err.Error(), "no io controller") {
		t.Errorf("got %v", err)
	}
	if got, _ := os.ReadFile(filepath.Join(root, "cgroup.subtree_control")); string(got) != "+pids" {
		t.Errorf("last controller written is %q", got)
	}
}
