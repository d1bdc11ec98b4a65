package disk

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"runa/services/hint"
)

// Epoch is the time every file in an image carries unless Spec.Time says otherwise.
var Epoch = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

// Spec says what goes into an image. Paths are the host's.
type Spec struct {
	Size        int64        // of the image in bytes, whole mebibytes; 0: DefaultSize, or what Data needs and 256 MiB free
	Label       string       // names the image: GUIDs are derived from it; "": "runa"
	Time        time.Time    // of every file and file system, from 1980 on; zero: Epoch
	Kernel      string       // bzImage, for GRUB
	Chrome      string       // the signed kernel for Chromebooks, as WriteChrome makes it
	System      string       // the system's partition, as WriteSystem makes it
	UKI         string       // the unified kernel image (see UKI), for UEFI
	CommandLine string       // of the kernel when GRUB starts it
	Inventory   string       // what the image is made of, for people and runa-image inspect; "": none
	Data        []DataFile   // files of the data partition
	Folders     []DataFolder // of the data partition, beside those that files are in
	GRUB        string       // folder with boot.img and the modules: usr/lib/grub/i386-pc of Debian's grub-pc-bin
	Tools       Tools
}

// DataFile is a file to be in the data partition.
type DataFile struct {
	Path     string // in the partition: "/models/NAME.gguf"; its folders are made as root's, mode 0755
	Source   string // on the host
	UID, GID uint32
	Mode     os.FileMode // permission bits; 0: 0644
}

// DataFolder is a folder to be in the data partition, with files or without.
type DataFolder struct {
	Path     string // in the partition: "/import"; those above it are made as root's, mode 0755
	UID, GID uint32
	Mode     os.FileMode // permission bits; 0: 0755
}

// Build writes the image that spec describes to out and returns its layout.
// out is a regular file open for reading and writing whose Name is its path (the
// tools open it by that name); what it held is lost. After an error its content
// is worthless and the caller should remove it.
func Build(ctx context.Context, spec Spec, out *os.File) (Layout, error) {
	spec, err := spec.withDefaults()
	if err != nil {
		return Layout{}, fmt.Errorf("disk image: %w", err)
	}
	layout, err := build(ctx, spec, out)
	if err != nil {
		return Layout{}, fmt.Errorf("disk image %s: %w", out.Name(), err)
	}
	return layout, nil
}

func build(ctx context.Context, spec Spec, out *os.File) (Layout, error) {
	boot, err := bootSize(spec)
	if err != nil {
		return Layout{}, err
	}
	system, err := fileSize(spec.System)
	if err != nil {
		return Layout{}, fmt.Errorf("system: %w", err)
	}
	chrome, err := fileSize(spec.Chrome)
	if err != nil {
		return Layout{}, fmt.Errorf("kernel for Chromebooks: %w", err)
	}
	system, chrome = roundUp(system), roundUp(chrome)
	need, err := dataSize(spec)
	if err != nil {
		return Layout{}, err
	}
	overhead := 2*int64(mebibyte) + biosSize + boot + chrome + system
	if spec.Size == 0 {
		spec.Size = max(DefaultSize, overhead+need+minimumFree)
	}
	layout, err := plan(spec.Label, spec.Size, boot, chrome, system)
	if err == nil && layout.must(DataName).Size < need {
		err = fmt.Errorf("image of %d MiB: its data partition is too small for the files given", spec.Size/mebibyte)
	}
	if err != nil {
		return Layout{}, hint.New(err, "make the image at least %d MiB", (overhead+max(need, minimumDataSize))/mebibyte)
	}

	work, err := os.MkdirTemp("", "runa-disk-")
	if err != nil {
		return Layout{}, fmt.Errorf("make a temporary folder: %w", err)
	}
	defer os.RemoveAll(work)
	tools := runner{Tools: spec.Tools, time: spec.Time, dir: work}

	if err := writeTable(out, layout, spec.Size); err != nil {
		return Layout{}, err
	}
	if err := writeGRUB(ctx, tools, spec.GRUB, layout, out); err != nil {
		return Layout{}, fmt.Errorf("install GRUB: %w", err)
	}
	if err := writeBoot(ctx, tools, spec, layout.must(BootName), out.Name()); err != nil {
		return Layout{}, fmt.Errorf("make the boot partition: %w", err)
	}
	for name, path := range map[string]string{ChromeName: spec.Chrome, SystemName: spec.System} {
		if err := copyInto(out, layout.must(name), path); err != nil {
			return Layout{}, fmt.Errorf("fill the partition %s: %w", name, err)
		}
	}
	if err := writeData(ctx, tools, spec, layout.must(DataName), out.Name()); err != nil {
		return Layout{}, fmt.Errorf("make the data partition: %w", err)
	}
	return layout, nil
}

// copyInto writes a file to the beginning of a partition.
func copyInto(out io.WriterAt, part Part, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.NewOffsetWriter(out, part.Start), f)
	return err
}

// writeTable empties out, gives it its size as one hole, and writes both copies
// of the partition table and the protective MBR.
func writeTable(out *os.File, layout Layout, size int64) error {
	if err := out.Truncate(0); err != nil {
		return fmt.Errorf("empty the file: %w", err)
	}
	if err := out.Truncate(size); err != nil {
		return fmt.Errorf("set its size to %d bytes: %w", size, err)
	}
	table, err := layout.table()
	if err != nil {
		return err
	}
	if err := table.Write(out, size); err != nil {
		return fmt.Errorf("write the partition table: %w", err)
	}
	return nil
}

func (s Spec) withDefaults() (Spec, error) {
	if s.Label == "" {
		s.Label = "runa"
	}
	if s.Time.IsZero() {
		s.Time = Epoch
	}
	if s.Time.Year() < 1980 || s.Time.Year() > 2107 {
		return s, fmt.Errorf("time %s: FAT can hold the years 1980 to 2107", s.Time.Format(time.RFC3339))
	}
	for _, path := range []struct{ field, value string }{
		{"Kernel", s.Kernel}, {"Chrome", s.Chrome}, {"System", s.System}, {"UKI", s.UKI}, {"GRUB", s.GRUB},
	} {
		if path.value == "" {
			return s, fmt.Errorf("spec field %s is empty: it must name a file or folder", path.field)
		}
	}
	if i := strings.IndexFunc(s.CommandLine, badInGRUB); i >= 0 {
		return s, fmt.Errorf("kernel command line: character %q at byte %d would be read by GRUB, not by the kernel", s.CommandLine[i], i)
	}
	return s, nil
}

// badInGRUB tells the characters that GRUB's script language treats specially.
func badInGRUB(r rune) bool {
	return r < ' ' || r > '~' || strings.ContainsRune("\"'\\$;{}|&<>#", r)
}
