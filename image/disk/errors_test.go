package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runa/services/hint"
)

func TestBadSpecIsRefusedWithAReason(t *testing.T) {
	for name, test := range map[string]struct {
		change     func(*Spec)
		want, hint string
	}{
		"no kernel":           {func(s *Spec) { s.Kernel = "" }, "field Kernel is empty", ""},
		"kernel missing":      {func(s *Spec) { s.Kernel += "x" }, "no such file", ""},
		"kernel is a folder":  {func(s *Spec) { s.Kernel = "/" }, "not a regular file", ""},
		"GRUB's folder":       {func(s *Spec) { s.GRUB = "/nowhere" }, "/nowhere/boot.img", "grub-pc-bin"},
		"early time":          {func(s *Spec) { s.Time = time.Unix(0, 0) }, "1980", ""},
		"command line, lines": {func(s *Spec) { s.CommandLine = "a\nb" }, `'\n' at byte 1`, ""},
		"command line, GRUB":  {func(s *Spec) { s.CommandLine = "a $b" }, `'$' at byte 2`, ""},
		"odd size":            {func(s *Spec) { s.Size++ }, "whole mebibytes", ""},
		"small":               {func(s *Spec) { s.Size = 70 * mebibyte }, "no room for a data partition", "at least 87 MiB"},
		"data path":           {func(s *Spec) { s.Data[0].Path = "/a b" }, `"/a b"`, ""},
		"data path, up":       {func(s *Spec) { s.Data[0].Path = "/a/../b" }, `"/a/../b"`, ""},
		"data twice":          {func(s *Spec) { s.Data[1].Path = s.Data[0].Path }, "given twice", ""},
		"data folder's path":  {func(s *Spec) { s.Folders[0].Path = "/a b" }, `data folder "/a b"`, ""},
		"data folder twice":   {func(s *Spec) { s.Folders[1].Path = s.Folders[0].Path }, "given twice", ""},
		"data missing":        {func(s *Spec) { s.Data[0].Source = "/nowhere" }, "/nowhere", ""},
		"file as folder":      {func(s *Spec) { s.Data[1].Path = s.Data[0].Path + "/x" }, "run debugfs", ""},
		"tool missing":        {func(s *Spec) { s.Tools.Mcopy = "/nowhere/mcopy" }, "run mcopy", "apt-get install --reinstall mtools"},
		"tool fails":          {func(s *Spec) { s.Tools.Mke2fs = "/bin/false" }, "run mke2fs: exit status 1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			spec := testSpec(t)
			test.change(&spec)
			out, err := os.Create(filepath.Join(t.TempDir(), "image"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			_, err = Build(context.Background(), spec, out)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("expected an error with %q, got %v", test.want, err)
			}
			if !strings.Contains(hint.Of(err), test.hint) || err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q has the hint %q, expected %q", err, hint.Of(err), test.hint)
			}
		})
	}
}

func TestDataThatDoesNotFitIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	spec := testSpec(t)
	large := filepath.Join(t.TempDir(), "large")
	if err := errors.Join(os.WriteFile(large, nil, 0o600), os.Truncate(large, 1<<30)); err != nil {
		t.Fatal(err)
	}
	spec.Data[0].Source = large
	out, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	_, err = Build(context.Background(), spec, out)
	if err == nil || !strings.Contains(err.Error(), "too small") || hint.Of(err) == "" {
		t.Errorf("got %v, hint %q", err, hint.Of(err))
	}
	if info, err := out.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("the output was written to: %d bytes (%v)", info.Size(), err)
	}
}

func TestMissingToolSaysHowToInstallIt(t *testing.T) {
	tools := runner{dir: t.TempDir()}
	_, err := tools.run(context.Background(), "", "no-such-tool", "some-package")
	if err == nil || hint.Of(err) != "apt-get install some-package" {
		t.Errorf("got %v, hint %q", err, hint.Of(err))
	}
}

func TestCancelledBuildStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	out, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := Build(ctx, testSpec(t), out); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
