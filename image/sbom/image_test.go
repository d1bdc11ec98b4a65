package sbom_test

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"debug/gosym"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/package-url/packageurl-go"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"runa/image/cache"
	"runa/image/fetch"
	"runa/image/inventory"
	"runa/image/sbom"
	"runa/image/userland"
)

func TestBothDocumentsAreWhatTheSchemaSays(t *testing.T) {
	folder := filepath.Join(goOutput(t, "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go"), "schema")
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	for _, pattern := range []string{"bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.*.json"} {
		files, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s in %s: %v, %v", pattern, folder, files, err)
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(readFile(t, files[0])))
		if err != nil {
			t.Fatal(err)
		}
		name := strings.Replace(pattern, "*", "schema", 1)
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+name, schema); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"beside": readFile(t, artefacts(t).SBOM), "inside": system(t)[sbom.SystemPath]} {
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(document); err != nil {
			t.Errorf("the document %s the image: %v", name, err)
		}
		// The schema must be able to say no, or it has checked nothing.
		document.(map[string]any)["components"].([]any)[0].(map[string]any)["type"] = "thing"
		if schema.Validate(document) == nil {
			t.Error("the schema takes everything")
		}
	}
}

func TestEveryModuleInEveryProgramIsListed(t *testing.T) {
	bom := beside(t)
	components, files := byReference(bom), byPath(bom)
	programs := 0
	for name, content := range system(t) {
		info, err := buildinfo.Read(bytes.NewReader(content))
		if err != nil {
			continue // not Go's
		}
		programs++
		program, ok := files["system:/"+name]
		if !ok {
			t.Errorf("/%s is not listed", name)
			continue
		}
		used := map[string]cyclonedx.Component{}
		for _, ref := range uses(bom, program.BOMRef) {
			used[components[ref].Name] = components[ref]
		}
		if got := "go" + used["stdlib"].Version; got != info.GoVersion {
			t.Errorf("/%s: Go is %s, want %s", name, got, info.GoVersion)
		}
		for _, m := range info.Deps {
			c := used[m.Path]
			if c.Version != m.Version || property(c, "runa:go:sum") != m.Sum || m.Sum == "" {
				t.Errorf("/%s: %s %s %s is listed as %q %q", name, m.Path, m.Version, m.Sum, c.Version, property(c, "runa:go:sum"))
			}
		}
		if len(info.Deps) == 0 {
			everyPackageIsOfAModule(t, content, used)
		} else if len(used) != len(info.Deps)+1 {
			t.Errorf("/%s: %d modules are listed, it has %d", name, len(used)-1, len(info.Deps))
		}
	}
	for _, c := range components {
		// This one says in its README alone that it is under MIT.
		known := c.Name != "github.com/mattn/go-localereader"
		if strings.HasPrefix(c.PackageURL, "pkg:golang/") && (c.Licenses != nil) != known {
			t.Errorf("%s has the licences %v", c.Name, c.Licenses)
		}
	}
	if programs < 5 {
		t.Errorf("looked at %d programs: that can't be all", programs)
	}
}

// everyPackageIsOfAModule looks at the names of the functions in a program whose
// build information has no modules: each is of the standard library or of one in used.
func everyPackageIsOfAModule(t *testing.T, program []byte, used map[string]cyclonedx.Component) {
	t.Helper()
	names := functions(t, program)
	seen := map[string]bool{}
	for _, name := range names {
		if first, _, _ := strings.Cut(name, "/"); !strings.Contains(first, ".") || first == "bb.u-root.com" || first == "vendor" {
			continue // the standard library; gobusybox's own main package
		}
		module := ""
		for path := range used {
			if (name == path || strings.HasPrefix(name, path+"/")) && len(path) > len(module) {
				module = path
			}
		}
		if module == "" {
			t.Errorf("the package %s is of no listed module", name)
		}
		seen[module] = true
	}
	for path, c := range used {
		if path != "stdlib" && property(c, "runa:go:sum") == "" {
			t.Errorf("%s has no sum", path)
		}
	}
	if len(seen) < 5 {
		t.Errorf("found the functions of %d modules only", len(seen))
	}
}

func functions(t *testing.T, program []byte) []string {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := file.Section(".gopclntab").Data()
	if err != nil {
		t.Fatal(err)
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(lines, file.Section(".text").Addr))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range table.Funcs {
		names = append(names, f.PackageName())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestEveryProgramAndLibraryOfTheSystemIsListedWithItsHash(t *testing.T) {
	for name, bom := range map[string]*cyclonedx.BOM{"beside": beside(t), "inside": inside(t)} {
		files := byPath(bom)
		count := 0
		for path, content := range system(t) {
			if !bytes.HasPrefix(content, []byte(elf.ELFMAG)) {
				continue
			}
			count++
			if got := hashOf(files["system:/"+path]); got != sum(content) {
				t.Errorf("%s: /%s has %s, it is listed as %q", name, path, sum(content), got)
			}
		}
		if count < 20 {
			t.Errorf("looked at %d programs and libraries: that can't be all", count)
		}
	}
}

func TestEveryPartOfTheInventoryIsListedWithItsHash(t *testing.T) {
	files := byPath(beside(t))
	boot := map[string]string{
		"esp:/boot/bzImage": artefacts(t).Kernel, "disk:partition runa-system": artefacts(t).System, "disk:partition runa-chromeos": artefacts(t).Chrome, "esp:/EFI/BOOT/BOOTX64.EFI": artefacts(t).UKI,
	}
	for _, p := range listed(t).Parts {
		if p.Name == "grub" {
			continue // it is a package, see the test of those
		}
		c := files[p.Path]
		if hashOf(c) != p.SHA256 {
			t.Errorf("%s has %s in the inventory, %q in the document", p.Path, p.SHA256, hashOf(c))
		}
		if path := boot[p.Path]; path != "" && sum(readFile(t, path)) != p.SHA256 {
			t.Errorf("%s is another file than the inventory's", path)
		}
		if p.Kind == "model" && (c.Type != cyclonedx.ComponentTypeMachineLearningModel || c.Licenses == nil) {
			t.Errorf("the model %s is listed as %+v", p.Name, c)
		}
	}
	if hashOf(files["system:/"+sbom.SystemPath]) != sum(system(t)[sbom.SystemPath]) {
		t.Error("the document inside the image is not listed with its hash")
	}
}

func TestNothingIsListedTwiceAndEveryNameCanBeRead(t *testing.T) {
	for name, bom := range map[string]*cyclonedx.BOM{"beside": beside(t), "inside": inside(t)} {
		references, urls := map[string]bool{bom.Metadata.Component.BOMRef: true}, map[string]bool{}
		all(bom, func(c cyclonedx.Component) {
			if references[c.BOMRef] || c.BOMRef == "" {
				t.Errorf("%s: the reference %q is there twice", name, c.BOMRef)
			}
			references[c.BOMRef] = true
			if c.Type == cyclonedx.ComponentTypeFile {
				return
			}
			url, err := packageurl.FromString(c.PackageURL)
			if err != nil || url.ToString() != c.PackageURL || url.Version == "" {
				t.Errorf("%s: %s has the package URL %q: %v", name, c.Name, c.PackageURL, err)
			}
			if urls[c.PackageURL] {
				t.Errorf("%s: %s is there twice", name, c.PackageURL)
			}
			urls[c.PackageURL] = true
		})
		for _, d := range *bom.Dependencies {
			for _, ref := range append([]string{d.Ref}, *d.Dependencies...) {
				if !references[ref] {
					t.Errorf("%s: %s is used but not listed", name, ref)
				}
			}
		}
	}
}

func TestTheDocumentInsideLacksOnlyWhatItCannotHave(t *testing.T) {
	within, whole := inside(t), byReference(beside(t))
	allowed := []string{"esp:/EFI/BOOT/BOOTX64.EFI", "disk:partition runa-system", "disk:partition runa-chromeos", "system:/" + sbom.SystemPath}
	there := byReference(within)
	for ref := range whole {
		if _, ok := there[ref]; ok == slices.Contains(allowed, ref) {
			t.Errorf("%s is inside: %v", ref, ok)
		}
	}
	for ref := range there {
		if _, ok := whole[ref]; !ok {
			t.Errorf("%s is only inside", ref)
		}
	}
	if p := within.Metadata.Properties; p == nil || !strings.Contains((*p)[0].Value, "hashes of this document") {
		t.Errorf("it does not say what it lacks: %v", p)
	}
}

func TestTheSameImageGivesTheSameBytesInWhateverOrder(t *testing.T) {
	text := readFile(t, artefacts(t).SBOM)
	inv, bom := listed(t), decode(t, text)
	spec := specOf(t, inv, bom)
	rand.Shuffle(len(spec.Parts), func(i, j int) { spec.Parts[i], spec.Parts[j] = spec.Parts[j], spec.Parts[i] })
	again, err := sbom.Make(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	got, err := sbom.Indented(again)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, text) {
		t.Errorf("it differs from the one that was built:\n%s", got)
	}
}

// specOf is what the image of the tests was built from.
func specOf(t *testing.T, inv inventory.Inventory, bom *cyclonedx.BOM) sbom.Spec {
	t.Helper()
	c, err := cache.Default()
	if err != nil {
		t.Fatal(err)
	}
	const root = "../.."
	bb, err := userland.Builder{Root: root, List: userland.Appliance, Cache: c}.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	commands, err := userland.Appliance.Packages()
	if err != nil {
		t.Fatal(err)
	}
	s := sbom.Spec{
		Root: root, Version: inv.Version, Target: inv.Target, Parts: inv.Parts, Tools: []string{"grub-common"},
		Programs: os.Getenv("RUNA_BIN"), Userland: bb.Binary, Commands: commands, Llama: os.Getenv("RUNA_LLAMA_DIR"),
		Fetcher: fetch.Fetcher{Cache: c},
	}
	if stamp := bom.Metadata.Timestamp; stamp != "" {
		if s.Time, err = time.Parse(time.RFC3339, stamp); err != nil {
			t.Fatal(err)
		}
	}
	return s
}
