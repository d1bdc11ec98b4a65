package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// Section is one section of an EFI program.
type Section struct {
	Name    string // ".linux"; at most 8 bytes
	Address uint32 // where it is loaded, from the start of the image
	Offset  int64  // of its content in the file, in bytes
	Size    int64  // of its content in bytes, without what fills it up to the file's alignment
}

// Content returns a reader of the section's bytes; r is what ReadUKI was given.
func (s Section) Content(r io.ReaderAt) *io.SectionReader {
	return io.NewSectionReader(r, s.Offset, s.Size)
}

// The PE/COFF headers of a 64-bit EFI program: Microsoft's PE format reference.
// Offsets are from the start of the header they are in.
const (
	peOffset           = 0x3c // in the DOS header: where "PE\0\0" is
	coffBytes          = 24   // with "PE\0\0"
	coffMachine        = 4
	coffSections       = 6
	coffSymbols        = 12 // file offset and number of symbols, 8 bytes
	coffOptionalBytes  = 20
	optionalMagic      = 0
	optionalDataBytes  = 8
	optionalAlignment  = 32 // of sections in memory
	optionalFileAlign  = 36
	optionalImageBytes = 56
	optionalHeaderSize = 60
	optionalChecksum   = 64
	optionalDirectory  = 112 // data directories, 8 bytes each; the fifth is the signature
	optionalMinimum    = 112
	sectionBytes       = 40
	maximumSections    = 96 // the loader's own limit

	machineAMD64  = 0x8664
	magicPE32Plus = 0x20b
)

// program is the part of an EFI program's headers that adding sections needs.
type program struct {
	coff, optional, table int64 // file offsets of the three headers
	optionalBytes         int64
	alignment, fileAlign  uint32
	headerBytes           uint32
	sections              []Section
	end                   uint64 // first address behind the last section
	endOfFile             int64  // first file offset behind the last section's content
}

// ReadUKI lists the sections of an EFI program, such as a unified kernel image,
// of size bytes. Nothing in it is trusted: what does not fit is an error.
func ReadUKI(r io.ReaderAt, size int64) ([]Section, error) {
	p, err := readProgram(r, size)
	if err != nil {
		return nil, fmt.Errorf("read EFI program: %w", err)
	}
	return p.sections, nil
}

func readProgram(r io.ReaderAt, size int64) (program, error) {
	var p program
	dos, err := readPart(r, size, 0, 64, "DOS header")
	if err != nil {
		return p, err
	}
	if string(dos[:2]) != "MZ" {
		return p, fmt.Errorf("DOS header: does not begin with \"MZ\"")
	}
	little := binary.LittleEndian
	p.coff = int64(little.Uint32(dos[peOffset:]))
	coff, err := readPart(r, size, p.coff, coffBytes, "PE header")
	if err != nil {
		return p, err
	}
	if string(coff[:4]) != "PE\x00\x00" || little.Uint16(coff[coffMachine:]) != machineAMD64 {
		return p, fmt.Errorf("PE header: not a program for x86-64")
	}
	p.optional = p.coff + coffBytes
	p.optionalBytes = int64(little.Uint16(coff[coffOptionalBytes:]))
	if p.optionalBytes < optionalMinimum {
		return p, fmt.Errorf("optional header: %d bytes, expected at least %d", p.optionalBytes, optionalMinimum)
	}
	optional, err := readPart(r, size, p.optional, p.optionalBytes, "optional header")
	if err != nil {
		return p, err
	}
	if magic := little.Uint16(optional[optionalMagic:]); magic != magicPE32Plus {
		return p, fmt.Errorf("optional header: kind %#x, expected %#x (64 bits)", magic, magicPE32Plus)
	}
	p.alignment = little.Uint32(optional[optionalAlignment:])
	p.fileAlign = little.Uint32(optional[optionalFileAlign:])
	p.headerBytes = little.Uint32(optional[optionalHeaderSize:])
	p.table = p.optional + p.optionalBytes
	return p, p.readSections(r, size, int64(little.Uint16(coff[coffSections:])))
}

func (p *program) readSections(r io.ReaderAt, size, count int64) error {
	if count > maximumSections {
		return fmt.Errorf("PE header: %d sections, more than %d", count, maximumSections)
	}
	table, err := readPart(r, size, p.table, count*sectionBytes, "section table")
	if err != nil {
		return err
	}
	little := binary.LittleEndian
	for i := range count {
		raw := table[i*sectionBytes:][:sectionBytes]
		name := string(bytes.TrimRight(raw[:8], "\x00"))
		virtual, stored := little.Uint32(raw[8:]), int64(little.Uint32(raw[16:]))
		section := Section{Name: name, Address: little.Uint32(raw[12:]), Offset: int64(little.Uint32(raw[20:])), Size: stored}
		if section.Offset+stored > size {
			return fmt.Errorf("section %q: its content ends at byte %d, the file at %d: is it cut off?", name, section.Offset+stored, size)
		}
		section.Size = min(stored, int64(virtual))
		p.end = max(p.end, uint64(section.Address)+uint64(virtual))
		p.endOfFile = max(p.endOfFile, section.Offset+stored)
		p.sections = append(p.sections, section)
	}
	return nil
}

func readPart(r io.ReaderAt, size, offset, length int64, what string) ([]byte, error) {
	if offset+length > size {
		return nil, fmt.Errorf("%s: ends at byte %d, the file at %d", what, offset+length, size)
	}
	raw := make([]byte, length)
	if _, err := r.ReadAt(raw, offset); err != nil && length > 0 {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return raw, nil
}
