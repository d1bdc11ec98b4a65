package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"runa/services/hint"
)

// UKISections are what a unified kernel image carries, by the names the UAPI
// group's specification of it gives: .osrel, .cmdline, .uname, .linux. There is no
// .initrd: the kernel carries what it starts with.
type UKISections struct {
	OSRelease   string // os-release(5), lines of NAME=value
	CommandLine string // of the kernel, one line without its end
	Uname       string // the kernel's release, as uname -r prints it; "": no such section
	Linux       []byte // a bzImage built with CONFIG_EFI_STUB
}

const (
	pageSize           = 4096
	sectionReadOnly    = 0x40000040 // initialised data, readable
	signatureDirectory = 4
)

// UKI returns stub (systemd-boot-efi's linuxx64.efi.stub) with the sections
// added: an EFI program that starts the kernel in it. .linux comes last, as
// newer stubs ask. The stub's symbols, which nothing needs, are left out.
func UKI(stub []byte, sections UKISections) ([]byte, error) {
	p, err := readProgram(bytes.NewReader(stub), int64(len(stub)))
	if err != nil {
		return nil, hint.New(fmt.Errorf("UKI: stub: %w", err), "the stub is linuxx64.efi.stub of Debian's systemd-boot-efi")
	}
	added, err := sections.list()
	if err != nil {
		return nil, fmt.Errorf("UKI: %w", err)
	}
	if err := p.canTake(stub, added); err != nil {
		return nil, fmt.Errorf("UKI: stub: %w", err)
	}
	out, err := p.add(stub, added)
	if err != nil {
		return nil, fmt.Errorf("UKI: %w", err)
	}
	return out, nil
}

type content struct {
	name string
	data []byte
}

func (s UKISections) list() ([]content, error) {
	if strings.ContainsAny(s.CommandLine, "\n\r\x00") {
		return nil, fmt.Errorf("kernel command line: contains a line's end or a zero byte")
	}
	if len(s.Linux) < 0x206 || string(s.Linux[:2]) != "MZ" || string(s.Linux[0x202:0x206]) != "HdrS" {
		return nil, hint.New(fmt.Errorf("kernel of %d bytes: not a bzImage with an EFI stub", len(s.Linux)), "build it with CONFIG_EFI_STUB=y")
	}
	list := []content{{".osrel", []byte(s.OSRelease)}, {".cmdline", []byte(s.CommandLine)}}
	if s.Uname != "" {
		list = append(list, content{".uname", []byte(s.Uname)})
	}
	list = append(list, content{".linux", s.Linux})
	return slices.DeleteFunc(list, func(c content) bool { return len(c.data) == 0 }), nil
}

// canTake refuses stubs that sections can't be added to in place.
func (p program) canTake(stub []byte, added []content) error {
	if p.fileAlign == 0 || p.fileAlign&(p.fileAlign-1) != 0 || p.fileAlign > 1<<16 || p.alignment&(p.alignment-1) != 0 || p.alignment > 1<<20 {
		return fmt.Errorf("alignment %d in the file and %d in memory: expected powers of two", p.fileAlign, p.alignment)
	}
	for _, section := range p.sections {
		if slices.ContainsFunc(added, func(c content) bool { return c.name == section.Name }) {
			return fmt.Errorf("has a section %s already", section.Name)
		}
	}
	if int64(p.headerBytes) > p.endOfFile {
		return fmt.Errorf("headers of %d bytes, longer than the program of %d", p.headerBytes, p.endOfFile)
	}
	end := p.table + int64(len(p.sections)+len(added))*sectionBytes
	room := int64(p.headerBytes)
	for _, section := range p.sections {
		if section.Size > 0 {
			room = min(room, section.Offset)
		}
	}
	if end > room || len(p.sections)+len(added) > maximumSections {
		return fmt.Errorf("no room for %d more section headers: they would end at byte %d of %d", len(added), end, room)
	}
	signature := p.optional + optionalDirectory + signatureDirectory*8
	if signature+8 <= p.table && binary.LittleEndian.Uint32(stub[signature+4:]) != 0 {
		return fmt.Errorf("is signed: added sections would break its signature")
	}
	return nil
}

// add appends the contents behind the stub's own sections, each on a page in
// memory and on the file's alignment in the file, and mends the headers.
func (p program) add(stub []byte, added []content) ([]byte, error) {
	fileAlign := uint64(p.fileAlign)
	total := alignUp(uint64(p.endOfFile), fileAlign)
	for _, c := range added {
		total += alignUp(uint64(len(c.data)), fileAlign)
	}
	out := make([]byte, p.endOfFile, total)
	copy(out, stub)
	out = append(out, make([]byte, alignUp(uint64(len(out)), fileAlign)-uint64(len(out)))...)

	little := binary.LittleEndian
	address, data := p.end, uint64(0)
	for i, c := range added {
		address = alignUp(address, max(uint64(p.alignment), pageSize))
		stored := alignUp(uint64(len(c.data)), fileAlign)
		if address+stored > math.MaxInt32 {
			return nil, fmt.Errorf("section %s of %d bytes: the program would be larger than 2 GiB", c.name, len(c.data))
		}
		raw := out[p.table+int64(len(p.sections)+i)*sectionBytes:][:sectionBytes]
		clear(raw)
		copy(raw[:8], c.name)
		little.PutUint32(raw[8:], uint32(len(c.data)))
		little.PutUint32(raw[12:], uint32(address))
		little.PutUint32(raw[16:], uint32(stored))
		little.PutUint32(raw[20:], uint32(len(out)))
		little.PutUint32(raw[36:], sectionReadOnly)
		out = append(out, c.data...)
		out = append(out, make([]byte, stored-uint64(len(c.data)))...)
		address += uint64(len(c.data))
		data += stored
	}
	little.PutUint16(out[p.coff+coffSections:], uint16(len(p.sections)+len(added)))
	little.PutUint64(out[p.coff+coffSymbols:], 0)
	optional := out[p.optional:]
	little.PutUint32(optional[optionalDataBytes:], little.Uint32(optional[optionalDataBytes:])+uint32(data))
	little.PutUint32(optional[optionalImageBytes:], uint32(alignUp(address, max(uint64(p.alignment), pageSize))))
	little.PutUint32(optional[optionalChecksum:], 0) // 0: not computed; firmware doesn't look
	return out, nil
}

// alignUp rounds n up to a multiple of align, a power of two.
func alignUp(n, align uint64) uint64 { return (n + align - 1) &^ (align - 1) }
