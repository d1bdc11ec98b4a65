package build

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runa/services/hint"
)

// handouts writes them into a new folder and returns all their bytes.
func handouts(t *testing.T, hostFolder string) []byte {
	t.Helper()
	a := In(t.TempDir())
	if err := (Builder{HostFolder: hostFolder}).handouts(a, "quiet gilgul.system=1:00", a.Files(AllTargets...)); err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, path := range []string{a.Domain, a.XenPV, a.XenPVGRUB, a.XenPVH} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(filepath.Dir(path))) {
			t.Errorf("%s says where it was built", filepath.Base(path))
		}
		all = append(all, text...)
	}
	return all
}

func TestHandoutsAreTheSameWhereverTheyAreBuilt(t *testing.T) {
	if first, second := handouts(t, ""), handouts(t, ""); !bytes.Equal(first, second) {
		t.Error("they differ")
	}
}

func TestHandoutsNameTheFilesWhereTheyWillBeOnTheHost(t *testing.T) {
	tests := map[string][]string{
		"": {
			`"/var/lib/libvirt/images/runa.qcow2"`, `target=/var/lib/xen/images/runa.raw"`,
			`"/var/lib/xen/images/bzImage"`,
		},
		"/srv/runa": {
			`"/srv/runa/runa.qcow2"`, `target=/srv/runa/runa.raw"`, `"/srv/runa/bzImage"`,
		},
	}
	for folder, want := range tests {
		text := string(handouts(t, folder))
		for _, path := range want {
			if !strings.Contains(text, path) {
				t.Errorf("with %q: no %s", folder, path)
			}
		}
	}
}

func TestARelativeFolderOfTheHostIsRefused(t *testing.T) {
	a := In(t.TempDir())
	err := Builder{HostFolder: "images"}.handouts(a, "quiet gilgul.system=1:00", a.Files(AllTargets...))
	if err == nil || !strings.Contains(err.Error(), `"images/runa.qcow2" is not absolute`) || hint.Of(err) == "" {
		t.Errorf("%v, hint %q", err, hint.Of(err))
	}
}
