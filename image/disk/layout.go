package disk

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/diskfs/go-diskfs/partition/gpt"

	"runa/init/systemdisk"
)

// GUIDs of the partition types used, as listed in the UEFI specification and by
// the Discoverable Partitions Specification. The system's and the data partition
// carry the plain Linux type, so that blkid, udisks and a rescue system know what
// they are; the appliance finds them by their names.
const (
	TypeBIOSBoot = "21686148-6449-6E6F-744E-656564454649"
	TypeESP      = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	TypeChromeOS = "FE3A2A5D-4F32-41A7-B725-ACCC3285A309"
	TypeLinux    = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
)

// Partition names (the GPT's, at most 36 characters; Linux shows them as PARTNAME).
const (
	BIOSName   = "runa-bios"
	BootName   = "runa-boot"
	ChromeName = "runa-chromeos"
	SystemName = systemdisk.PartitionName
	DataName   = "runa-data"
)

// chromeAttributes are what a Chromebook's firmware goes by: the kernel that started
// before (successful, bit 56), the highest priority (10, from bit 48), and how often
// it may be tried until then (5, from bit 52).
const chromeAttributes uint64 = 1<<56 | 5<<52 | 10<<48

// AttributeLegacyBoot is GPT attribute bit 2: a BIOS may boot from this partition.
const AttributeLegacyBoot uint64 = 1 << 2

const (
	sectorSize = 512
	mebibyte   = 1 << 20

	biosSize        = 1 * mebibyte
	minimumBootSize = 64 * mebibyte // FAT32 needs 65525 clusters: 33 MiB and the tables
	minimumDataSize = 16 * mebibyte
	minimumFree     = 256 * mebibyte // left in the data partition when Spec.Size is 0
	maximumSize     = 2 << 40        // what the protective MBR's 32-bit sector count can name

	// DefaultSize is the size of an image in bytes, unless the data needs more.
	DefaultSize int64 = 1 << 30
)

// Layout is what a partition table says.
type Layout struct {
	GUID  string // of the disk, upper case
	Parts []Part // in the order of the table
}

// Part is one partition. Start and Size are in bytes.
type Part struct {
	Number     int    // from 1: the N of /dev/vdaN
	Name       string // "" if it has none
	Type       string // GUID, upper case
	GUID       string // upper case
	Attributes uint64
	Start      int64
	Size       int64
}

// must returns the partition of that name, which plan has made.
func (l Layout) must(name string) Part {
	part, _ := l.Part(name)
	return part
}

// Part returns the first partition of that name.
func (l Layout) Part(name string) (Part, bool) {
	for _, part := range l.Parts {
		if part.Name == name {
			return part, true
		}
	}
	return Part{}, false
}

// plan lays the partitions out on a disk of size bytes, each on a mebibyte; the
// data partition is the last, because it grows, and takes what is left before the
// second copy of the table.
func plan(label string, size, bootSize, chromeSize, systemSize int64) (Layout, error) {
	if size%mebibyte != 0 || size > maximumSize {
		return Layout{}, fmt.Errorf("image of %d bytes: must be whole mebibytes, at most 2 TiB", size)
	}
	layout := Layout{GUID: deriveGUID(label, "disk")}
	next := int64(mebibyte)
	add := func(name, kind string, bytes int64, attributes uint64) {
		layout.Parts = append(layout.Parts, Part{
			Number: len(layout.Parts) + 1, Name: name, Type: kind, GUID: deriveGUID(label, name),
			Attributes: attributes, Start: next, Size: bytes,
		})
		next += bytes
	}
	add(BIOSName, TypeBIOSBoot, biosSize, 0)
	add(BootName, TypeESP, bootSize, AttributeLegacyBoot)
	add(ChromeName, TypeChromeOS, chromeSize, chromeAttributes)
	add(SystemName, TypeLinux, systemSize, 0)
	rest := size - mebibyte - next
	if rest < minimumDataSize {
		return Layout{}, fmt.Errorf("image of %d MiB: no room for a data partition beside the %d MiB of boot and system", size/mebibyte, (bootSize+chromeSize+systemSize)/mebibyte)
	}
	add(DataName, TypeLinux, rest, 0)
	return layout, nil
}

// deriveGUID makes a GUID (RFC 9562, version 8: custom) from the disk's label and
// what it is for, so that it is the same in every build.
func deriveGUID(label, purpose string) string {
	sum := sha256.Sum256([]byte("runa/disk\x00" + label + "\x00" + purpose))
	g := sum[:16]
	g[6] = g[6]&0x0f | 0x80
	g[8] = g[8]&0x3f | 0x80
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", g[:4], g[4:6], g[6:8], g[8:10], g[10:]))
}

// table is the layout as go-diskfs writes it.
func (l Layout) table() (*gpt.Table, error) {
	t := &gpt.Table{LogicalSectorSize: sectorSize, PhysicalSectorSize: sectorSize, GUID: l.GUID, ProtectiveMBR: true}
	for _, part := range l.Parts {
		if len(utf16.Encode([]rune(part.Name))) > 36 {
			return nil, fmt.Errorf("partition name %q: longer than 36 characters", part.Name)
		}
		t.Partitions = append(t.Partitions, &gpt.Partition{
			Index: part.Number, Name: part.Name, Type: gpt.Type(part.Type), GUID: part.GUID, Attributes: part.Attributes,
			Start: uint64(part.Start / sectorSize), End: uint64((part.Start+part.Size)/sectorSize) - 1, Size: uint64(part.Size),
		})
	}
	return t, nil
}
