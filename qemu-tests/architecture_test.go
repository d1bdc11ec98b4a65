package qemutests

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is what the paths of our own packages begin with.
const module = "runa/"

// rule says what the packages of one folder may import of our own.
type rule struct {
	folder  string   // packages in it and below
	except  []string // folders in it that have a rule of their own
	allowed []string // folders, each with what is below it, beside the package's own part
	reason  string
}

// shared are the packages that several services are built on.
var shared = []string{"services/rmp", "services/splinter", "services/supervised", "services/gguf", "services/hint", "services/yamlfile"}

var rules = []rule{
	{
		folder: "services/hint", reason: "an error's hint is used by everything and so depends on nothing of ours",
	},
	{
		folder: "services/yamlfile", reason: "what YAML files have in common depends on none of them",
	},
	{
		folder: "services/rmp", allowed: []string{"services/hint"},
		reason: "the frames are the contract between the parts and know none of them",
	},
	{
		folder: "services/splinter", except: []string{"services/splinter/command"}, allowed: []string{"services/rmp", "services/hint"},
		reason: "the bus carries frames and must not know who sends them",
	},
	{
		folder: "services/splinter/command", allowed: []string{"services/rmp", "services/supervised", "services/hint"},
		reason: "the bus's own service tells gilgul of itself as every service does",
	},
	{
		folder: "services/supervised", allowed: []string{"services/splinter", "services/rmp", "services/hint"},
		reason: "what a service tells gilgul is said over a pipe and the bus, whoever listens",
	},
	{
		folder: "services/gguf", allowed: []string{"services/hint"},
		reason: "a file format is used by the builder and by services and belongs to neither",
	},
	{
		folder: "services/runa", allowed: append([]string{"init/control"}, shared...),
		reason: "the person's command asks services over the bus; of init it may know the control API, which is made for it",
	},
	{
		folder: "services", except: append([]string{"services/runa"}, shared...), allowed: shared,
		reason: "a service asks another over the bus, so that each can be replaced: its contract is its messages",
	},
	{
		folder: "init", allowed: []string{"init", "services/rmp", "services/splinter", "services/supervised", "services/hint", "services/yamlfile"},
		reason: "PID 1 must not break because a service changed",
	},
	{
		folder: "image", allowed: []string{"image", "init/systemdisk", "services/gguf", "services/hint"},
		reason: "the builder is given built programs and files, so it can build any version of them; of init it knows how the system lies on a disk",
	},
	{
		folder: "cmd", allowed: []string{"init", "image", "services"},
		reason: "a program is flags and one call into the package that does the work",
	},
}

// listed is what go list tells of a package.
type listed struct {
	ImportPath                string
	Imports                   []string
	TestImports, XTestImports []string
}

// ourPackages lists the module's packages with what they import.
func ourPackages(t *testing.T) []listed {
	t.Helper()
	output, err := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var one listed
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatalf("read what go list says: %v", err)
		}
		packages = append(packages, one)
	}
}

func TestEveryImportGoesTheWayTheArchitectureSays(t *testing.T) {
	packages := ourPackages(t)
	for _, rule := range rules {
		covered := false
		for _, one := range packages {
			if !rule.covers(one.ImportPath) {
				continue
			}
			covered = true
			for _, imported := range slices.Concat(one.Imports, one.TestImports, one.XTestImports) {
				if !rule.allows(one.ImportPath, imported) {
					t.Errorf("%s imports %s: %s", one.ImportPath, imported, rule.reason)
				}
			}
		}
		if !covered {
			t.Errorf("no package is in %s: the rule for it guards nothing", rule.folder)
		}
	}
}

func TestEveryPackageHasARule(t *testing.T) {
	for _, one := range ourPackages(t) {
		if strings.HasPrefix(one.ImportPath, module+"qemu-tests") {
			continue // tests see everything
		}
		if !slices.ContainsFunc(rules, func(r rule) bool { return r.covers(one.ImportPath) }) {
			t.Errorf("no rule says what %s may import", one.ImportPath)
		}
	}
}

// Two services must not share code that only one of them owns, even when the
// import is hidden behind a third package.
func TestNoServiceIsBuiltWithAnother(t *testing.T) {
	for _, program := range []string{"cmd/splinter", "cmd/splinfer", "cmd/runa"} {
		output, err := exec.Command("go", "list", "-deps", module+program).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", program, err)
		}
		own := "services/" + strings.TrimPrefix(program, "cmd/")
		for path := range strings.FieldsSeq(string(output)) {
			if path, ours := strings.CutPrefix(path, module); ours && within(path, "services") && !within(path, own) &&
				!slices.ContainsFunc(shared, func(folder string) bool { return within(path, folder) }) {
				t.Errorf("%s is built with %s, another service", program, path)
			}
		}
	}
}

func (r rule) covers(path string) bool {
	path, ours := strings.CutPrefix(path, module)
	return ours && within(path, r.folder) &&
		!slices.ContainsFunc(r.except, func(folder string) bool { return within(path, folder) })
}

// allows is true for what is not ours and for the importer's own part: the
// first two folders of its path.
func (r rule) allows(importer, imported string) bool {
	path, ours := strings.CutPrefix(imported, module)
	if !ours {
		return true
	}
	words := strings.Split(strings.TrimPrefix(importer, module), "/")
	own := strings.Join(words[:min(2, len(words))], "/")
	return within(path, own) || slices.ContainsFunc(r.allowed, func(folder string) bool { return within(path, folder) })
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

func TestTheRulesForbidWhatTheyShould(t *testing.T) {
	tests := []struct {
		importer, imported string
		want               bool
	}{
		{"runa/services/splinfer", "runa/services/splinter", true},
		{"runa/services/splinfer", "runa/services/splinfer/llama", true},
		{"runa/services/splinfer/llama", "runa/services/runa", false},
		{"runa/services/runa", "runa/init/control", true},
		{"runa/services/runa", "runa/init/gilgul", false},
		{"runa/services/rmp", "runa/services/splinter", false},
		{"runa/init/gilgul", "runa/init/boot", true},
		{"runa/init/gilgul", "runa/services/gguf", false},
		{"runa/image/build", "runa/init/control", false},
		{"runa/image/qemu", "golang.org/x/term", true},
	}
	for _, test := range tests {
		index := slices.IndexFunc(rules, func(r rule) bool { return r.covers(test.importer) })
		if index < 0 {
			t.Fatalf("no rule covers %s", test.importer)
		}
		if got := rules[index].allows(test.importer, test.imported); got != test.want {
			t.Errorf("%s imports %s: allowed %v, want %v", test.importer, test.imported, got, test.want)
		}
	}
}
