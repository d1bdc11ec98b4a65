package systemdisk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASystemsNameIsReadBack(t *testing.T) {
	s := System{Blocks: 7001, Root: sha256.Sum256([]byte("top"))}
	got, err := Parse(s.String())
	if err != nil || got != s {
		t.Errorf("%v is read as %v (%v)", s, got, err)
	}
}

func TestAWrongNameIsRefused(t *testing.T) {
	digest := strings.Repeat("0f", sha256.Size)
	for _, text := range []string{
		"", ":", "7", "7:", ":" + digest, "0:" + digest, "1:" + digest, "-1:" + digest, "7:" + digest[2:], "7:" + digest + "00", "7:x" + digest[1:],
		"99999999999999999999:" + digest, "16777217:" + digest, " 7:" + digest, "7:" + digest + " ",
	} {
		if s, err := Parse(text); err == nil || !strings.Contains(err.Error(), Option) {
			t.Errorf("%q is read as %v (%v)", text, s, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("7:" + strings.Repeat("0f", sha256.Size))
	f.Add("1:")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(s.String()); err != nil || again != s {
			t.Errorf("%q is read as %v, that as %v (%v)", text, s, again, err)
		}
	})
}

// disks is a made-up /sys/class/block and /dev with partitions.
type disks struct{ sys, dev string }

func newDisks(t *testing.T) disks {
	t.Helper()
	return disks{t.TempDir(), t.TempDir()}
}

// add makes a partition with a name in its table and some content.
func (d disks) add(t *testing.T, device, name string, content []byte) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(d.sys, device), 0o755); err != nil {
		t.Fatal(err)
	}
	uevent := "MAJOR=8\nDEVNAME=" + device + "\nDEVTYPE=partition\n"
	if name != "" {
		uevent += "PARTN=3\nPARTNAME=" + name + "\n"
	}
	for path, content := range map[string][]byte{filepath.Join(d.sys, device, "uevent"): []byte(uevent), filepath.Join(d.dev, device): content} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// made returns a system of two blocks and the partition that holds it.
func made(seed byte) (System, []byte) {
	content := bytes.Repeat([]byte{seed}, 3*BlockSize)
	return System{Blocks: 2, Root: sha256.Sum256(content[2*BlockSize:])}, content
}

func TestTheSystemIsFoundByNameAndByTheTopOfItsTree(t *testing.T) {
	d := newDisks(t)
	mine, content := made(1)
	if _, err := Find(d.sys, d.dev, mine); !errors.Is(err, ErrNone) {
		t.Errorf("without a disk: %v", err)
	}
	d.add(t, "sda", "", nil)
	d.add(t, "sda1", "runa-data", content)
	d.add(t, "sda2", "my"+PartitionName, content)
	if _, err := Find(d.sys, d.dev, mine); !errors.Is(err, ErrNone) {
		t.Errorf("without a partition of that name: %v", err)
	}
	_, other := made(2)
	d.add(t, "sdb3", PartitionName, other)
	if _, err := Find(d.sys, d.dev, mine); !errors.Is(err, ErrOther) || !strings.Contains(err.Error(), "sdb3") {
		t.Errorf("with another system: %v", err)
	}
	d.add(t, "sdc3", PartitionName, content[:2*BlockSize+100])
	if _, err := Find(d.sys, d.dev, mine); !errors.Is(err, ErrOther) {
		t.Errorf("with one that is cut off: %v", err)
	}
	d.add(t, "sdd3", PartitionName, content)
	if device, err := Find(d.sys, d.dev, mine); err != nil || device != filepath.Join(d.dev, "sdd3") {
		t.Errorf("found %q (%v)", device, err)
	}
}

func TestTheWholeDeviceIsReadWithPauses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "device")
	if err := os.WriteFile(path, make([]byte, 2*pieceSize+BlockSize), 0o600); err != nil {
		t.Fatal(err)
	}
	pauses := 0
	read, err := Check(t.Context(), path, func(context.Context) error { pauses++; return nil })
	if err != nil || read != 2*pieceSize+BlockSize || pauses != 3 {
		t.Errorf("read %d bytes with %d pauses (%v)", read, pauses, err)
	}
	enough := errors.New("enough")
	if _, err := Check(t.Context(), path, func(context.Context) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("a pause that ends it: %v", err)
	}
}
