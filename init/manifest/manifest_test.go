package manifest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"runa/services/hint"
)

const whole = `exec: /bin/splinfer            # required
args: [--model, stories15m, -n, 3]
env: {OMP_WAIT_POLICY: passive, LEVEL: 2}
user: llm
needs: [splinter]
wants: [clock]
ready: {by: notify, timeout: 45s}
stop: {signal: INT, timeout: 10s}
restart: {policy: on-failure, initial: 500ms, max: 1m, stable: 2m}
limits: {memory-high: 512MiB, memory-max: 768MiB, cpu: 150%, pids: 64, files: 512, io-weight: 100, cpu-budget: 90%, cpu-budget-for: 20s}
bus: {read: ["name:splinfer", "key:service/*"], write: ["key:service/splinfer/*"]}
data: true
oneshot: false
heartbeat: 2s
probe: {by: exec, exec: /bin/check, args: [-q], every: 1m, timeout: 3s}
on-failure: {ladder: [restart, set-aside, give-up], tries: 5, policy: /bin/decide, timeout: 2s}
confine: {read: [/data/models, /sys/devices/system/cpu], write: [/run/scratch], seccomp: inference}
snapshot: {every: 1h, keep: 5}
probation: 10m
`

func TestAWholeManifestIsRead(t *testing.T) {
	got, err := Parse("dir/splinfer.yaml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := Service{
		Name: "splinfer", File: "dir/splinfer.yaml", Exec: "/bin/splinfer",
		Args: []string{"--model", "stories15m", "-n", "3"},
		Env:  map[string]string{"OMP_WAIT_POLICY": "passive", "LEVEL": "2"},
		User: "llm", Needs: []string{"splinter"}, Wants: []string{"clock"},
		Ready:   Ready{ByNotify, 45 * time.Second},
		Stop:    Stop{syscall.SIGINT, 10 * time.Second},
		Restart: Restart{OnFailure, 500 * time.Millisecond, time.Minute, 2 * time.Minute},
		Limits: Limits{
			MemoryHigh: 512 << 20, MemoryMax: 768 << 20, CPU: 150, PIDs: 64, Files: 512, IOWeight: 100,
			CPUBudget: 90, CPUBudgetFor: 20 * time.Second,
		},
		Bus:  Bus{Read: []string{"name:splinfer", "key:service/*"}, Write: []string{"key:service/splinfer/*"}},
		Data: true,

		Heartbeat: 2 * time.Second,
		Probe:     Probe{ProbeExec, "/bin/check", []string{"-q"}, time.Minute, 3 * time.Second},
		OnFailure: Failing{[]Rung{RungRestart, RungSetAside, RungGiveUp}, 5, "/bin/decide", 2 * time.Second},
		Confine:   Confine{[]string{"/data/models", "/sys/devices/system/cpu"}, []string{"/run/scratch"}, ProfileInference},
		Snapshot:  Snapshot{time.Hour, 5},
		Probation: 10 * time.Minute,
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

func TestOneLineIsEnoughAndTheRestHasDefaults(t *testing.T) {
	got, err := Parse("splinter.yaml", []byte("exec: /bin/splinter\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Defaults("splinter")
	want.File, want.Exec = "splinter.yaml", "/bin/splinter"
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

func TestAOneshotMayRunForEverAndIsRepeatedOnFailureOnly(t *testing.T) {
	got, err := Parse("once.yaml", []byte("exec: /bin/once\noneshot: true\n"))
	if err != nil || got.Ready.Timeout != 0 || got.Restart.Policy != OnFailure {
		t.Fatalf("got %+v, %v", got, err)
	}
	got, err = Parse("once.yaml", []byte("exec: /bin/once\noneshot: true\nready: {timeout: 5s}\nrestart: {policy: never}\n"))
	if err != nil || got.Ready.Timeout != 5*time.Second || got.Restart.Policy != Never {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestEveryMistakeIsToldWithItsPlace(t *testing.T) {
	for _, c := range []struct{ name, text, want, advice string }{
		{"unknown key", "exec: /bin/a\ndata: true\nuser: b\n  \nmemroy: 3\n", `a.yaml:5:1: unknown key "memroy" (known: args, bus, confine, cycle, data, env, exec, heartbeat, limits, needs, on-failure, oneshot, probation, probe, ready, restart, snapshot, stop, user, wants)`, "take it out, or use one of those known"},
		{"nested unknown key", "exec: /bin/a\nlimits:\n  cpu: 50%\n  memory-mx: 1MiB\n", `a.yaml:4:3: unknown key "memory-mx" (known: cpu, cpu-budget, cpu-budget-for, files, io-weight, memory-high, memory-max, pids)`, `did you mean "memory-max"?`},
		{"swapped letters", "exce: /bin/a\nexec: /bin/a\n", `a.yaml:1:1: unknown key "exce"`, `did you mean "exec"?`},
		{"unknown key in a flow mapping", "exec: /bin/a\nstop: {signal: TERM, timout: 3s}\n", `a.yaml:2:22: unknown key "timout" (known: signal, timeout)`, `did you mean "timeout"?`},
		{"twice", "exec: /bin/a\nuser: b\nexec: /bin/b\n", `a.yaml:3:1: key "exec" is there twice, first on line 1`, "keep one of the two"},
		{"nested twice", "exec: /bin/a\nstop: {timeout: 1s, timeout: 2s}\n", `a.yaml:2:21: key "timeout" is there twice, first on line 2`, "keep one of the two"},
		{"missing exec", "user: b\n", `a.yaml:1:1: exec is missing`, "add a line such as exec: /bin/a"},
		{"relative exec", "exec: bin/a\n", `a.yaml:1:7: exec is not an absolute path: "bin/a"`, "write the whole path, such as /bin/a"},
		{"exec is a number", "exec: 3\n", `a.yaml:1:7: text expected, not a number`, ""},
		{"args is text", "exec: /bin/a\nargs: --model x\n", `a.yaml:2:7: a list expected, not text`, "write [a, b], or [] for none"},
		{"args holds a mapping", "exec: /bin/a\nargs: [{a: b}]\n", `a.yaml:2:8: text expected, not a mapping`, ""},
		{"args holds nothing", "exec: /bin/a\nargs: [~]\n", `a.yaml:2:8: text expected, not nothing`, ""},
		{"env is a list", "exec: /bin/a\nenv: [A=1]\n", `a.yaml:2:6: env must be a mapping, not a list`, "write {NAME: value}"},
		{"data is yes", "exec: /bin/a\ndata: yes\n", `a.yaml:2:7: true or false expected, not text`, "write true or false"},
		{"needs itself", "exec: /bin/a\nneeds: [a]\n", `a.yaml:2:9: a cannot come before itself`, "take it out"},
		{"bad name", "exec: /bin/a\nneeds: [../b]\n", `a.yaml:2:9: "../b" cannot be the name of a service`, ""},
		{"duration without unit", "exec: /bin/a\nready: {timeout: 30}\n", `a.yaml:2:18: the duration 30 has no unit`, "write 30s or 30ms"},
		{"negative duration", "exec: /bin/a\nready: {timeout: -1s}\n", `a.yaml:2:18: the duration -1s is not between 0s and 24h0m0s`, ""},
		{"bad choice", "exec: /bin/a\nready: {by: notfy}\n", `a.yaml:2:13: "notfy" is none of notify, bus, none`, `did you mean "notify"?`},
		{"bad signal", "exec: /bin/a\nstop: {signal: TREM}\n", `a.yaml:2:16: "TREM" is none of HUP, INT, KILL, QUIT, TERM, USR1, USR2`, `did you mean "TERM"?`},
		{"bad size", "exec: /bin/a\nlimits: {memory-max: 512MB}\n", `a.yaml:2:22: "512MB" is not a size`, "write a whole number with KiB, MiB or GiB, such as 512MiB"},
		{"size overflows", "exec: /bin/a\nlimits: {memory-max: 99999999999GiB}\n", `a.yaml:2:22: the size 99999999999GiB is out of range`, ""},
		{"bad share", "exec: /bin/a\nlimits: {cpu: 1.5}\n", `a.yaml:2:15: "1.5" is not a share of a processor`, "write a whole number with %, such as 150%"},
		{"count out of range", "exec: /bin/a\nlimits: {io-weight: 10001}\n", `a.yaml:2:21: 10001 is not between 1 and 10000`, ""},
		{"high above max", "exec: /bin/a\nlimits:\n  memory-high: 2MiB\n  memory-max: 1MiB\n", `a.yaml:3:3: limits: memory-high is more than memory-max`, "lower memory-high"},
		{"max below initial", "exec: /bin/a\nrestart: {initial: 1m}\n", `a.yaml:2:10: restart: max 30s is less than initial 1m0s`, "raise max"},
		{"right on nothing", "exec: /bin/a\nbus: {read: [\"file:x\"]}\n", `a.yaml:2:14: "file:x" does not begin with key:, topic: or name:`, "write key:, topic: or name: and a name, such as key:service/* or name:splinfer"},
		{"right without a kind", "exec: /bin/a\nbus:\n  write:\n    - splinfer\n", `a.yaml:4:7: "splinfer" does not begin with`, "write key:, topic: or name: and a name, such as key:service/* or name:splinfer"},
		{"right with a star inside", "exec: /bin/a\nbus: {write: [\"key:*/model\"]}\n", `a.yaml:2:15: "key:*/model" has a * that is not its end`, "write key:, topic: or name: and a name, such as key:service/* or name:splinfer"},
		{"right that is a mapping", "exec: /bin/a\nbus: {read: [key:service]}\n", `a.yaml:2:14: text expected, not a mapping`, `put it in quotes: "key:service/*"`},
		{"right twice", "exec: /bin/a\nbus: {read: [\"name:a\", \"name:a\"]}\n", `a.yaml:2:24: name:a is there twice`, "take it out"},
		{"unknown way", "exec: /bin/a\nbus: {raed: []}\n", `a.yaml:2:7: unknown key "raed" (known: read, write)`, `did you mean "read"?`},
		{"rights as a list", "exec: /bin/a\nbus: [key:a]\n", `a.yaml:2:6: bus must be a mapping, not a list`, "write key: value lines, or {key: value}"},
		{"oneshot that notifies", "exec: /bin/a\noneshot: true\nready: {by: notify}\n", `a.yaml:3:8: a oneshot is ready when it has ended, not by notify`, "leave ready.by out"},
		{"beat too fast", "exec: /bin/a\nheartbeat: 1ms\n", `a.yaml:2:12: the duration 1ms is not between 50ms and 24h0m0s`, ""},
		{"probe by nothing known", "exec: /bin/a\nprobe: {by: pnig}\n", `a.yaml:2:13: "pnig" is none of ping, bus, exec, none`, `did you mean "ping"?`},
		{"probe without its program", "exec: /bin/a\nprobe: {by: exec}\n", `a.yaml:2:8: probe: by exec, but exec is missing`, "add exec: and the path of a program"},
		{"probe with a program too many", "exec: /bin/a\nprobe: {by: ping, exec: /bin/b}\n", `a.yaml:2:8: probe: exec and args are for by: exec only`, "write by: exec, or leave exec and args out"},
		{"probe with a short path", "exec: /bin/a\nprobe: {by: exec, exec: b}\n", `a.yaml:2:25: probe.exec is not an absolute path: "b"`, "write the whole path, such as /bin/b"},
		{"unknown rung", "exec: /bin/a\non-failure: {ladder: [restart, giveup]}\n", `a.yaml:2:32: "giveup" is none of restart, backoff, set-aside, dependents, roll-back, give-up`, `did you mean "give-up"?`},
		{"ladder upside down", "exec: /bin/a\non-failure: {ladder: [backoff, restart]}\n", `a.yaml:2:32: restart cannot come after backoff`, "the order is restart, backoff, set-aside, dependents, roll-back, give-up"},
		{"rung twice", "exec: /bin/a\non-failure: {ladder: [restart, restart]}\n", `a.yaml:2:32: restart cannot come after restart`, "the order is restart, backoff, set-aside, dependents, roll-back, give-up"},
		{"no rung", "exec: /bin/a\non-failure: {ladder: []}\n", `a.yaml:2:22: a ladder without a rung`, "write restart: {policy: never} for a service that is not tried again"},
		{"tries below nothing", "exec: /bin/a\non-failure: {tries: -1}\n", `a.yaml:2:21: -1 is not between 0 and 1000`, ""},
		{"policy with a short path", "exec: /bin/a\non-failure: {policy: decide}\n", `a.yaml:2:22: on-failure.policy is not an absolute path: "decide"`, "write the whole path, such as /bin/decide"},
		{"confine with a short path", "exec: /bin/a\nconfine: {read: [usr/../etc]}\n", `a.yaml:2:18: not an absolute path: "usr/../etc"`, "write the whole path, such as /usr/share/dict"},
		{"confine to everything", "exec: /bin/a\nconfine: {write: [/]}\n", `a.yaml:2:19: / is too much for one service`, "name what it needs below that"},
		{"confine to what is gilgul's", "exec: /bin/a\nconfine: {read: [/run/gilgul/control.sock]}\n", `a.yaml:2:18: /run/gilgul/control.sock cannot be opened to a service: that is gilgul's own`, "take it out"},
		{"confine twice", "exec: /bin/a\nconfine: {read: [/a, /a]}\n", `a.yaml:2:22: /a is there twice`, "take it out"},
		{"confine read and write", "exec: /bin/a\nconfine: {read: [/a], write: [/a]}\n", `a.yaml:2:10: confine: /a is in read and in write`, "leave it in write only"},
		{"unknown profile", "exec: /bin/a\nconfine: {seccomp: servce}\n", `a.yaml:2:20: "servce" is none of service, inference`, `did you mean "service"?`},
		{"snapshot of nothing", "exec: /bin/a\nsnapshot: {every: 1h}\n", `a.yaml:2:11: snapshot: it has no data folder to copy`, "add data: true, or leave snapshot out"},
		{"snapshots without number", "exec: /bin/a\ndata: true\nsnapshot: {keep: 0}\n", `a.yaml:3:18: 0 is not between 1 and 100`, ""},
		{"cycle of what never ends", "exec: /bin/a\ncycle: 1h\n", `a.yaml:2:8: cycle: only a oneshot can be started again and again`, "add oneshot: true, or leave cycle out"},
		{"oneshot that is probed", "exec: /bin/a\noneshot: true\nprobe: {by: ping}\n", `a.yaml:3:8: a oneshot can't be probed: it has done its work when it has ended`, "leave probe out"},
		{"budget as a number", "exec: /bin/a\nlimits: {cpu-budget: 90}\n", `a.yaml:2:22: "90" is not a share of a processor`, "write a whole number with %, such as 150%"},
		{"not a mapping", "- exec\n", `a.yaml:1:1: a manifest must be a mapping, not a list`, "write key: value lines, or {key: value}"},
		{"empty", "# nothing\n", `a.yaml:1:1: the manifest is empty`, "write at least exec: /bin/..."},
		{"two documents", "exec: /bin/a\n---\nexec: /bin/b\n", `a.yaml:3:1: a second document`, "one file, one service"},
		{"alias", "exec: &x /bin/a\nuser: *x\n", `a.yaml:1:7: text expected, not an anchor or alias`, ""},
		{"not yaml", "exec: [/bin/a\n", `a.yaml:1:7: this is not YAML: sequence end token ']' not found`, ""},
		{"tab", "exec: /bin/a\nstop:\n\tsignal: TERM\n", `a.yaml:3:`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("a.yaml", []byte(c.text))
			if err == nil {
				t.Fatal("it was accepted")
			}
			first := split(err)[0]
			if !strings.HasPrefix(first.Error(), c.want) || strings.Contains(first.Error(), "\n") {
				t.Errorf("got  %s\nwant %s", first, c.want)
			}
			if got := hint.Of(first); got != c.advice {
				t.Errorf("hint %q, want %q", got, c.advice)
			}
		})
	}
}

func TestAllMistakesOfAFileAreToldInItsOrder(t *testing.T) {
	_, err := Parse("a.yaml", []byte("data: 1\nfoo: 2\nuser: A\n"))
	var lines []string
	for _, e := range split(err) {
		lines = append(lines, strings.SplitAfterN(e.Error(), ":", 4)[1])
	}
	if got := strings.Join(lines, ""); got != "1:1:2:3:" {
		t.Fatalf("lines %s of\n%v", got, err)
	}
}

func TestABadManifestNeverPreventsTheGoodOnes(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"good.yaml": "exec: /bin/good\n", "bad.yaml": "exe: /bin/bad\n", "Big Name.yaml": "exec: /bin/x\n", "note.txt": "not a manifest",
		"huge.yaml": strings.Repeat("#", MaxBytes+1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	services, errs := Load(dir)
	if len(services) != 1 || services[0].Name != "good" {
		t.Fatalf("services: %+v", services)
	}
	if len(errs) != 5 {
		t.Fatalf("%d errors: %v", len(errs), errs)
	}
	for _, err := range errs {
		if !strings.HasPrefix(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
			t.Errorf("not one line that names the file: %q", err)
		}
	}
	if _, errs := Load(filepath.Join(dir, "none")); len(errs) != 1 || !errors.Is(errs[0], os.ErrNotExist) {
		t.Errorf("a missing folder: %v", errs)
	}
}

// TestTenThousandGarbageFilesKeepNoGoodManifestFromLoading fills a folder with
// what breaks YAML libraries, good manifests between, before and after it.
func TestTenThousandGarbageFilesKeepNoGoodManifestFromLoading(t *testing.T) {
	dir := t.TempDir()
	garbage := []string{
		"", "\x00\x01\xff{}[]&*", "exe: /bin/bad\n", "exec: [/bin/bad\n", strings.Repeat("[", MaxBytes), strings.Repeat("- ", MaxBytes/2),
		strings.Repeat("k: v\n", MaxBytes/5), strings.Repeat("\xff", MaxBytes), "exec: /bin/x\nexec: /bin/y\n", "exec: &a /bin/x\nuser: *a\n",
		"exec: /bin/x\n" + strings.Repeat("#", 4*MaxBytes), "- exec\n- exec\n", "{exec: {exec: {exec: {}}}}", "exec:\n\t- x\n",
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10_000 {
		write(fmt.Sprintf("m%05d.yaml", i), garbage[i%len(garbage)])
	}
	good := map[string]string{
		"a-first": "exec: /bin/x\n", "m05000-between": whole, "m05001-flow": "{exec: /bin/x,\nargs: [a,\nb]}\n",
		"m05002-quoted": "\"exec\": /bin/x\n", "m05003-list": "---\n# x\nargs:\n- a\n- b\nexec: /bin/x\n", "z-last": "exec: /bin/x\n",
	}
	var want, got []string
	for name, text := range good {
		write(name+".yaml", text)
		want = append(want, name)
	}
	slices.Sort(want)
	began := time.Now()
	services, errs := Load(dir)
	t.Logf("read in %v", time.Since(began))
	for _, s := range services {
		got = append(got, s.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("loaded %q, want %q", got, want)
	}
	if len(errs) > maxErrors+1 || !strings.Contains(errs[len(errs)-1].Error(), "more mistakes") {
		t.Errorf("%d errors, the last: %v", len(errs), errs[len(errs)-1])
	}
}

func TestAFileFullOfMistakesIsToldInAFewLines(t *testing.T) {
	_, err := Parse("a.yaml", []byte(strings.Repeat("x: 1\n", 1000)))
	lines := split(err)
	if len(lines) != maxMistakes+1 || !strings.HasSuffix(lines[maxMistakes].Error(), "more mistakes") {
		t.Errorf("%d lines, the last: %v", len(lines), lines[len(lines)-1])
	}
}

func TestOrderPutsEachServiceAfterWhatItNeedsAndWants(t *testing.T) {
	got := order(t, "c needs b", "b needs a", "a", "d wants e", "e", "f wants ghost")
	if want := "a b c e d f |"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func TestOrderNamesACircleWholeAndKeepsTheRest(t *testing.T) {
	for _, c := range []struct {
		rules []string
		want  string
	}{
		{[]string{"a needs b", "b needs c", "c needs a", "x"}, "x | c.yaml: services wait for each other in a circle: a needs b needs c needs a"},
		{[]string{"b needs c", "c wants b"}, "| c.yaml: services wait for each other in a circle: b needs c wants b"},
		{[]string{"a needs b", "b needs c", "c needs b"}, "| c.yaml: services wait for each other in a circle: b needs c needs b; a.yaml: a cannot start: it needs b, which cannot start"},
		{[]string{"splinfer needs spliner", "splinter"}, `splinter | splinfer.yaml: splinfer needs "spliner", which no manifest declares`},
		{[]string{"a needs b", "b needs ghost"}, `| b.yaml: b needs "ghost", which no manifest declares; a.yaml: a cannot start: it needs b, which cannot start`},
		{[]string{"a", "a"}, "a | a.yaml: the service a is already declared in a.yaml"},
	} {
		if got := order(t, c.rules...); got != c.want {
			t.Errorf("%v:\ngot  %s\nwant %s", c.rules, got, c.want)
		}
	}
}

// order runs Order on services written "a needs b" or "a wants b" and returns
// "sorted names | errors".
func order(t *testing.T, rules ...string) string {
	t.Helper()
	var services []Service
	for _, rule := range rules {
		words := strings.Fields(rule)
		s := Defaults(words[0])
		s.File = s.Name + ".yaml"
		if len(words) == 3 && words[1] == "needs" {
			s.Needs = words[2:]
		} else if len(words) == 3 {
			s.Wants = words[2:]
		}
		services = append(services, s)
	}
	sorted, errs := Order(services)
	var words, lines []string
	for _, s := range sorted {
		words = append(words, s.Name)
	}
	for _, err := range errs {
		lines = append(lines, err.Error())
	}
	return strings.TrimSpace(strings.Join(append(words, "|"), " ") + " " + strings.Join(lines, "; "))
}

func TestCheckFindsMissingProgramsAndUsers(t *testing.T) {
	root := fstest.MapFS{
		"bin/good":  {Mode: 0o755},
		"bin/plain": {Mode: 0o644},
	}
	users := func(name string) (uint32, error) {
		if uid, ok := map[string]uint32{"good": 101, "root": 0}[name]; ok {
			return uid, nil
		}
		return 0, errors.New("there is no user \"" + name + "\"")
	}
	for _, c := range []struct{ exec, user, want string }{
		{"/bin/good", "good", ""},
		{"/bin/none", "good", "a.yaml: the program of service a is missing: /bin/none"},
		{"/bin/plain", "good", "a.yaml: the program of service a cannot be executed: /bin/plain"},
		{"/bin", "good", "a.yaml: the program of service a cannot be executed: /bin"},
		{"/bin/good", "nobody", `a.yaml: the user of service a: there is no user "nobody"`},
		{"/bin/good", "root", "a.yaml: service a would run as root"},
	} {
		s := Defaults("a")
		s.File, s.Exec, s.User = "a.yaml", c.exec, c.user
		err := Check(s, root, users)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%+v: %v", c, err)
		case c.want != "" && (err == nil || err.Error() != c.want || hint.Of(split(err)[0]) == ""):
			t.Errorf("%+v: %v (hint %q)", c, err, hint.Of(err))
		}
	}
}

func TestEveryKeyIsDocumented(t *testing.T) {
	lines := Keys()
	if len(lines) < 50 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, line := range lines {
		if name, doc, _ := strings.Cut(line, ": "); len(doc) < 10 {
			t.Errorf("%s has no documentation", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("exec: &a /bin/x\nargs: *a\n<<: {a: b}\n? [x]\n: !!str y\n"))
	f.Add([]byte("exec: |\n  /bin/x\nenv: {\"\": 1}\nlimits: {cpu: .inf, pids: 0x10}\n"))
	f.Add([]byte("{[{[{["))
	f.Add([]byte("exec: /b\noneshot: true\ncycle: 1h\nprobe: {by: none}\non-failure: {ladder: [give-up]}\nconfine: {read: [/a]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("a.yaml", data)
		if err == nil {
			if !plausible("a.yaml", data) {
				t.Fatal("a good manifest does not look like one")
			}
			if !strings.HasPrefix(s.Exec, "/") || s.Stop.Timeout <= 0 || s.Restart.Max < s.Restart.Initial || s.Limits.PIDs < 1 ||
				len(s.OnFailure.Ladder) == 0 || s.Probe.Every <= 0 || s.Probe.Timeout <= 0 || s.Probation <= 0 {
				t.Fatalf("accepted: %+v", s)
			}
			return
		}
		for _, e := range split(err) {
			if !strings.HasPrefix(e.Error(), "a.yaml:") || strings.Contains(e.Error(), "\n") {
				t.Fatalf("not one line with a place: %q", e)
			}
		}
	})
}
