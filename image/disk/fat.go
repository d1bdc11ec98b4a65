package disk

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode/utf16"
)

// BootFiles reads the files of a boot partition. It trusts nothing in it: what
// does not fit is an error, and no more is read than was asked for.
type BootFiles struct {
	r           io.ReaderAt
	table       int64 // where the first allocation table is, in bytes
	data        int64 // where cluster 2 is
	clusterSize int64
	clusters    uint32 // the first number no cluster has
	root        uint32
}

// FAT32 on disk: Microsoft's "FAT: General Overview of On-Disk Format" 1.03.
const (
	fatEntryBytes    = 4
	fatEntryMask     = 0x0fff_ffff
	folderEntryBytes = 32
	nameUnitsPerSlot = 13
	maximumFolder    = 1 << 20 // bytes of a folder read before giving up

	attributeFolder   = 0x10
	attributeVolume   = 0x08
	attributeLongName = 0x0f
)

// OpenBoot reads what describes the FAT32 file system that fills r's first size bytes.
func OpenBoot(r io.ReaderAt, size int64) (*BootFiles, error) {
	var sector [sectorSize]byte
	if size < sectorSize {
		return nil, fmt.Errorf("open boot partition: only %d bytes", size)
	}
	if _, err := r.ReadAt(sector[:], 0); err != nil {
		return nil, fmt.Errorf("open boot partition: %w", err)
	}
	little := binary.LittleEndian
	if string(sector[82:90]) != "FAT32   " || little.Uint16(sector[510:]) != 0xaa55 {
		return nil, fmt.Errorf("open boot partition: no FAT32 file system")
	}
	bytesPerSector, perCluster := int64(little.Uint16(sector[11:])), int64(sector[13])
	reserved, tables := int64(little.Uint16(sector[14:])), int64(sector[16])
	total, tableSectors := int64(little.Uint32(sector[32:])), int64(little.Uint32(sector[36:]))
	data := reserved + tables*tableSectors
	if bytesPerSector != sectorSize || perCluster == 0 || reserved == 0 || tables == 0 || data >= total || total > size/sectorSize {
		return nil, fmt.Errorf("open boot partition: %d sectors of %d bytes, %d per cluster, data from %d on, in %d bytes: impossible",
			total, bytesPerSector, perCluster, data, size)
	}
	clusters := min((total-data)/perCluster+2, tableSectors*sectorSize/fatEntryBytes)
	return &BootFiles{
		r: r, table: reserved * sectorSize, data: data * sectorSize, clusterSize: perCluster * sectorSize,
		clusters: uint32(min(clusters, fatEntryMask)), root: little.Uint32(sector[44:]),
	}, nil
}

// Open returns the content of a file and its size in bytes. The path is absolute
// and slash-separated; case doesn't count. fs.ErrNotExist tells a missing file.
func (b *BootFiles) Open(name string) (io.Reader, int64, error) {
	at := entry{cluster: b.root, folder: true}
	for _, step := range strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/") {
		if !at.folder {
			return nil, 0, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
		}
		var err error
		if at, err = b.find(at.cluster, step); err != nil {
			return nil, 0, fmt.Errorf("open %s: %w", name, err)
		}
	}
	if at.folder {
		return nil, 0, fmt.Errorf("open %s: is a folder", name)
	}
	return io.LimitReader(&chain{files: b, next: at.cluster}, at.size), at.size, nil
}

// entry is what a folder says of a file.
type entry struct {
	cluster uint32
	size    int64
	folder  bool
}

// find looks for a name in the folder that begins at cluster.
func (b *BootFiles) find(cluster uint32, name string) (entry, error) {
	folder := io.LimitReader(&chain{files: b, next: cluster}, maximumFolder)
	long := map[byte][]uint16{}
	var slot [folderEntryBytes]byte
	for {
		if _, err := io.ReadFull(folder, slot[:]); err == io.EOF {
			return entry{}, fs.ErrNotExist
		} else if err != nil {
			return entry{}, err
		}
		switch {
		case slot[0] == 0:
			return entry{}, fs.ErrNotExist
		case slot[0] == 0xe5:
			clear(long)
		case slot[11] == attributeLongName:
			long[slot[0]&0x1f] = nameUnits(slot[:])
		case slot[11]&attributeVolume != 0:
			clear(long)
		default:
			if strings.EqualFold(longName(long), name) || strings.EqualFold(shortName(slot[:]), name) {
				little := binary.LittleEndian
				return entry{
					cluster: uint32(little.Uint16(slot[20:]))<<16 | uint32(little.Uint16(slot[26:])),
					size:    int64(little.Uint32(slot[28:])), folder: slot[11]&attributeFolder != 0,
				}, nil
			}
			clear(long)
		}
	}
}

// nameUnits are the thirteen UTF-16 units of a long name that one slot holds.
func nameUnits(slot []byte) []uint16 {
	units := make([]uint16, 0, nameUnitsPerSlot)
	for _, span := range [][2]int{{1, 11}, {14, 26}, {28, 32}} {
		for i := span[0]; i < span[1]; i += 2 {
			units = append(units, binary.LittleEndian.Uint16(slot[i:]))
		}
	}
	return units
}

// longName joins the slots of a long name, numbered from 1; "" if one is missing.
func longName(slots map[byte][]uint16) string {
	var units []uint16
	for i := range byte(len(slots)) {
		units = append(units, slots[i+1]...)
	}
	for i, unit := range units {
		if unit == 0 {
			units = units[:i]
			break
		}
	}
	return string(utf16.Decode(units))
}

// shortName is the name of eight characters and three more that every file has.
func shortName(slot []byte) string {
	name, extension := strings.TrimRight(string(slot[:8]), " "), strings.TrimRight(string(slot[8:11]), " ")
	if extension == "" {
		return name
	}
	return name + "." + extension
}

// chain reads clusters one after the other as the allocation table links them.
type chain struct {
	files *BootFiles
	next  uint32
	read  uint32 // clusters read so far: more than there are means the chain is a ring
	rest  []byte

	links   [1024 * fatEntryBytes]byte // the part of the table looked at last
	linksOf uint32                     // the cluster its first link belongs to
	linked  bool                       // links is filled
}

// maximumRun is how many bytes of clusters in a row are read at once: on a
// compressed image a read costs as much as decompressing 64 KiB.
const maximumRun = 128 << 10

func (c *chain) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if err := c.load(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// load reads the next clusters that lie in a row; io.EOF behind the last.
func (c *chain) load() error {
	b := c.files
	if c.next >= fatEntryMask-7 {
		return io.EOF
	}
	first, count := c.next, int64(0)
	for c.next == first+uint32(count) && (count == 0 || (count+1)*b.clusterSize <= maximumRun) {
		if c.next < 2 || c.next >= b.clusters {
			return fmt.Errorf("cluster %d: the file system has 2 to %d: the chain is broken", c.next, b.clusters-1)
		}
		if c.read++; c.read > b.clusters {
			return fmt.Errorf("cluster %d: the chain is a ring", c.next)
		}
		link, err := c.link(c.next)
		if err != nil {
			return fmt.Errorf("allocation table, cluster %d: %w", c.next, err)
		}
		c.next = link
		count++
	}
	run := make([]byte, count*b.clusterSize)
	if _, err := b.r.ReadAt(run, b.data+int64(first-2)*b.clusterSize); err != nil {
		return fmt.Errorf("cluster %d: %w", first, err)
	}
	c.rest = run
	return nil
}

// link returns which cluster follows the given one.
func (c *chain) link(cluster uint32) (uint32, error) {
	const perWindow = uint32(len(c.links) / fatEntryBytes)
	start := cluster / perWindow * perWindow
	if !c.linked || start != c.linksOf {
		count := min(perWindow, c.files.clusters-start)
		if _, err := c.files.r.ReadAt(c.links[:count*fatEntryBytes], c.files.table+int64(start)*fatEntryBytes); err != nil {
			return 0, err
		}
		c.linksOf, c.linked = start, true
	}
	return binary.LittleEndian.Uint32(c.links[(cluster-start)*fatEntryBytes:]) & fatEntryMask, nil
}
