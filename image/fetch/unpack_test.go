package fetch

import (
	"archive/tar"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"
)

func writeTgz(t *testing.T, entries ...tar.Header) string {
	path := filepath.Join(t.TempDir(), "a.tgz")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zipped := gzip.NewWriter(file)
	out := tar.NewWriter(zipped)
	for _, e := range entries {
		e.Size = 0
		if e.Typeflag == tar.TypeReg {
			e.Size = 4
		}
		if err := out.WriteHeader(&e); err != nil {
			t.Fatal(err)
		}
		if e.Size > 0 {
			if _, err := out.Write([]byte("text")); err != nil {
				t.Fatal(err)
			}
		}
	}
	out.Close()
	zipped.Close()
	return path
}

func TestUnpackTakesFilesBelowTheFirstFolder(t *testing.T) {
	archive := writeTgz(t,
		tar.Header{Name: "package/package.json", Typeflag: tar.TypeReg, Mode: 0o600},
		tar.Header{Name: "package/deep/er/run", Typeflag: tar.TypeReg, Mode: 0o755})
	dir := t.TempDir()
	if err := unpackTgz(archive, dir, nil); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"package.json": 0o644, "deep/er/run": 0o755} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode || info.Size() != 4 {
			t.Errorf("%s: mode %v, %d bytes; want %v, 4", name, info.Mode(), info.Size(), mode)
		}
	}
}

func TestUnpackRefusesWhatLeadsOut(t *testing.T) {
	for name, entries := range map[string][]tar.Header{
		"dots":         {{Name: "package/../../evil", Typeflag: tar.TypeReg, Mode: 0o644}},
		"absolute":     {{Name: "/evil", Typeflag: tar.TypeReg, Mode: 0o644}},
		"no folder":    {{Name: "evil", Typeflag: tar.TypeReg, Mode: 0o644}},
		"symbolic":     {{Name: "package/a", Typeflag: tar.TypeSymlink, Linkname: "../..", Mode: 0o777}, {Name: "package/a/evil", Typeflag: tar.TypeReg, Mode: 0o644}},
		"hard link":    {{Name: "package/a", Typeflag: tar.TypeLink, Linkname: "/etc/passwd", Mode: 0o644}},
		"device":       {{Name: "package/a", Typeflag: tar.TypeChar, Mode: 0o644}},
		"hidden dots":  {{Name: "package/x/../../../evil", Typeflag: tar.TypeReg, Mode: 0o644}},
		"only folders": {{Name: "../evil/", Typeflag: tar.TypeDir, Mode: 0o755}},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "in", "side")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := unpackTgz(writeTgz(t, entries...), dir, nil); err == nil {
				t.Error("unpacked without an error")
			}
			if _, err := os.Lstat(filepath.Join(parent, "evil")); err == nil {
				t.Error("a file was written outside")
			}
		})
	}
}
