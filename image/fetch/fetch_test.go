package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runa/image/cache"
	"runa/services/hint"
)

// archiveClients stands in for apt-get and npm: it offers one version of one
// package and "downloads" content.
type archiveClients struct {
	offers      string // version in the archive
	stale       string // version the machine's own lists still name
	content     string
	fail        error
	downloads   int
	updates     int
	downloadArg string
}

func (c *archiveClients) run(_ context.Context, dir, program string, args ...string) (string, error) {
	line := strings.Join(args, " ")
	version := c.stale
	if strings.Contains(line, "Dir::State::lists") {
		version = c.offers
	}
	switch {
	case strings.Contains(line, "madison") && version != "":
		return fmt.Sprintf(" tool | %s | bookworm/main amd64 Packages\n tool | 9 | bookworm/main Sources\n", version), nil
	case strings.Contains(line, "policy") && version != "":
		return "tool:\n  Installed: (none)\n  Candidate: " + version + "\n", nil
	case program == "apt-cache":
		return "", nil
	case strings.HasSuffix(line, "update"):
		c.updates++
		return "", nil
	case strings.Contains(line, "download"), program == "npm":
		c.downloads++
		c.downloadArg = args[len(args)-1]
		name := "tool.deb"
		if program == "npm" {
			name = "tool.tgz"
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(c.content), 0o600); err != nil {
			return "", err
		}
		return "", c.fail
	}
	return "", fmt.Errorf("unexpected: %s %s", program, line)
}

func sha256Hex(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func debianPin(content string) Pin {
	return Pin{Name: "tool", Registry: Debian, Version: "1.2-3", Hash: sha256Hex(content), Size: int64(len(content)), License: "MIT"}
}

func fetcherOf(t *testing.T, c *archiveClients) Fetcher {
	return Fetcher{Cache: cache.Cache{Root: t.TempDir()}, run: c.run}
}

// archivesKept lists the archives that a later build would find in the cache.
func archivesKept(t *testing.T, f Fetcher) (files []string) {
	filepath.WalkDir(f.Cache.Root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		if d.Type().IsRegular() && !strings.HasSuffix(path, ".lock") {
			files = append(files, path)
		}
		return nil
	})
	return files
}

func TestArchiveIsFetchedOnceAndThenComesFromTheCache(t *testing.T) {
	c := &archiveClients{offers: "1.2-3", stale: "1.2-3", content: "the bytes"}
	f := fetcherOf(t, c)
	for range 2 {
		path, err := f.archive(context.Background(), debianPin("the bytes"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != "the bytes" {
			t.Fatalf("archive holds %q, %v", got, err)
		}
	}
	if c.downloads != 1 || c.updates != 0 || c.downloadArg != "tool=1.2-3" {
		t.Errorf("%d downloads (last %s), %d updates; want 1 of tool=1.2-3 and none", c.downloads, c.downloadArg, c.updates)
	}
}

func TestArchiveWithAnotherHashIsRefusedAndNotKept(t *testing.T) {
	f := fetcherOf(t, &archiveClients{offers: "1.2-3", stale: "1.2-3", content: "other bytes"})
	_, err := f.archive(context.Background(), debianPin("the bytes"))
	if !errors.Is(err, ErrHash) {
		t.Fatalf("error %v, want ErrHash", err)
	}
	for _, want := range []string{sha256Hex("the bytes"), sha256Hex("other bytes"), "tool_1.2-3.deb"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	if hint.Of(err) == "" {
		t.Error("no hint")
	}
	if kept := archivesKept(t, f); len(kept) != 0 {
		t.Errorf("kept %v", kept)
	}
}

func TestDownloadThatFailsHalfwayLeavesNothing(t *testing.T) {
	cut := errors.New("connection reset")
	f := fetcherOf(t, &archiveClients{offers: "1.2-3", stale: "1.2-3", content: "the by", fail: cut})
	if _, err := f.archive(context.Background(), debianPin("the bytes")); !errors.Is(err, cut) {
		t.Fatalf("error %v, want %v", err, cut)
	}
	if kept := archivesKept(t, f); len(kept) != 0 {
		t.Errorf("kept %v", kept)
	}
}

func TestOldListsAreRenewedOnce(t *testing.T) {
	for name, stale := range map[string]string{"lists name an older version": "1.2-1", "lists are empty": ""} {
		t.Run(name, func(t *testing.T) {
			c := &archiveClients{offers: "1.2-3", stale: stale, content: "the bytes"}
			if _, err := fetcherOf(t, c).archive(context.Background(), debianPin("the bytes")); err != nil {
				t.Fatal(err)
			}
			if c.updates != 1 {
				t.Errorf("%d updates, want 1", c.updates)
			}
		})
	}
}

func TestWithdrawnVersionNamesWhatIsOfferedAndTheWayOut(t *testing.T) {
	c := &archiveClients{offers: "1.2-4", stale: "1.2-4", content: "new bytes"}
	_, err := fetcherOf(t, c).archive(context.Background(), debianPin("the bytes"))
	if !errors.Is(err, ErrNotOffered) || !strings.Contains(err.Error(), "1.2-3") || !strings.Contains(err.Error(), "1.2-4") {
		t.Errorf("error %v, want ErrNotOffered with both versions", err)
	}
	if !strings.Contains(hint.Of(err), "runa-image pin") {
		t.Errorf("hint %q does not name runa-image pin", hint.Of(err))
	}
	if c.downloads != 0 {
		t.Errorf("downloaded all the same")
	}
}

func TestRepinRewritesOnlyWhatChanged(t *testing.T) {
	const file = `# Head.

# A tool; version: 1 in a comment stays.
- name: tool
  registry: debian
  version: 1.2-3 # why
  hash: HASH
  size: 9
  license: MIT

# From npm.
- name: "@scope/other"
  registry: npm
  version: 1.2-3
  hash: sha512-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==
  size: 9
  license: MIT
`
	path := filepath.Join(t.TempDir(), "pins.yaml")
	before := strings.Replace(file, "HASH", sha256Hex("the bytes"), 1)
	if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	c := &archiveClients{offers: "1.2-4", content: "newer bytes"}
	changes, err := fetcherOf(t, c).Repin(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if len(changes) != 1 || changes[0] != (Change{"tool", "1.2-3", "1.2-4"}) {
		t.Errorf("changes %v", changes)
	}
	want := strings.Replace(file, "HASH\n  size: 9", sha256Hex("newer bytes")+"\n  size: 11", 1)
	want = strings.Replace(want, "1.2-3 # why", "1.2-4", 1)
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("file is now\n%s\nwant\n%s\n%v", got, want, err)
	}
	if changes, err := fetcherOf(t, c).Repin(context.Background(), path); err != nil || len(changes) != 0 {
		t.Errorf("second time: %v, %v; want nothing to do", changes, err)
	}
}
