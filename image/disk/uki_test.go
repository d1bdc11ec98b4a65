package disk

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"testing"

	"runa/services/hint"
)

func readStub(t testing.TB) []byte {
	t.Helper()
	stub, err := os.ReadFile(needs(t, stubPath, "systemd-boot-efi"))
	if err != nil {
		t.Fatal(err)
	}
	return stub
}

func testSections() UKISections {
	return UKISections{
		OSRelease: "NAME=Runa\n", CommandLine: "console=ttyS0", Uname: "6.12.1",
		Linux: testKernel(),
	}
}

func TestSectionsAreReadBack(t *testing.T) {
	uki, err := UKI(readStub(t), testSections())
	if err != nil {
		t.Fatal(err)
	}
	again, err := UKI(readStub(t), testSections())
	if err != nil || !bytes.Equal(uki, again) {
		t.Fatalf("two builds differ (%v)", err)
	}
	sections, err := ReadUKI(bytes.NewReader(uki), int64(len(uki)))
	if err != nil {
		t.Fatal(err)
	}
	want := testSections()
	added := []content{
		{".osrel", []byte(want.OSRelease)},
		{".cmdline", []byte(want.CommandLine)},
		{".uname", []byte(want.Uname)},
		{".linux", want.Linux},
	}
	last := sections[len(sections)-len(added):]
	for i, c := range added {
		got, err := io.ReadAll(last[i].Content(bytes.NewReader(uki)))
		if err != nil || last[i].Name != c.name || !bytes.Equal(got, c.data) {
			t.Errorf("section %d is %s of %d bytes, expected %s of %d (%v)", i, last[i].Name, len(got), c.name, len(c.data), err)
		}
	}
}

// debug/pe is the second opinion on what UKI wrote.
func TestUKIIsAValidProgram(t *testing.T) {
	uki, err := UKI(readStub(t), testSections())
	if err != nil {
		t.Fatal(err)
	}
	file, err := pe.NewFile(bytes.NewReader(uki))
	if err != nil {
		t.Fatal(err)
	}
	optional := file.OptionalHeader.(*pe.OptionalHeader64)
	end := uint32(0)
	for _, section := range file.Sections {
		if section.VirtualAddress < end || section.Offset%optional.FileAlignment != 0 || section.Offset < optional.SizeOfHeaders {
			t.Errorf("section %s overlaps or is not aligned: %+v", section.Name, section.SectionHeader)
		}
		end = section.VirtualAddress + section.VirtualSize
	}
	if optional.SizeOfImage < end || optional.SizeOfImage%pageSize != 0 {
		t.Errorf("image of %d bytes, sections end at %d", optional.SizeOfImage, end)
	}
	if len(file.Sections) != 12 || file.Section(".linux").VirtualAddress%pageSize != 0 {
		t.Errorf("%d sections", len(file.Sections))
	}
}

func TestUKIRefusesBadInput(t *testing.T) {
	stub := readStub(t)
	coff := binary.LittleEndian.Uint32(stub[peOffset:])
	patched := func(offset uint32, data ...byte) []byte {
		image := bytes.Clone(stub)
		copy(image[offset:], data)
		return image
	}
	done, err := UKI(stub, testSections())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		stub   []byte
		change func(*UKISections)
		want   string
	}{
		"not a stub":        {[]byte("#!/bin/sh\n" + strings.Repeat(" ", 100)), nil, `"MZ"`},
		"empty stub":        {nil, nil, "DOS header"},
		"cut off stub":      {stub[:2000], nil, "is it cut off?"},
		"another processor": {patched(coff+coffMachine, 0x64, 0xaa), nil, "x86-64"},
		"done already":      {done, nil, "has a section .osrel already"},
		"signed":            {patched(coff+coffBytes+optionalDirectory+signatureDirectory*8, 1, 0, 0, 0, 1), nil, "is signed"},
		"no room":           {patched(coff+coffBytes+optionalHeaderSize, 0, 3, 0, 0), nil, "no room"},
		"long headers":      {patched(coff+coffBytes+optionalHeaderSize, 0, 0, 0, 0xff), nil, "longer than the program"},
		"command line":      {stub, func(s *UKISections) { s.CommandLine += "\n" }, "line's end"},
		"no kernel":         {stub, func(s *UKISections) { s.Linux = nil }, "not a bzImage"},
		"vmlinux":           {stub, func(s *UKISections) { s.Linux = bytes.Repeat([]byte("\x7fELF"), 1000) }, "not a bzImage"},
	} {
		t.Run(name, func(t *testing.T) {
			sections := testSections()
			if test.change != nil {
				test.change(&sections)
			}
			_, err := UKI(test.stub, sections)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("expected an error with %q, got %v", test.want, err)
			}
			if strings.Contains(name, "not a stub") && hint.Of(err) == "" {
				t.Error("no hint")
			}
		})
	}
}

func FuzzReadUKI(f *testing.F) {
	f.Add(readStub(f)[:1024])
	small := make([]byte, 1536)
	copy(small, readStub(f)[:1024])
	coff := binary.LittleEndian.Uint32(small[peOffset:])
	binary.LittleEndian.PutUint16(small[coff+coffSections:], 0)
	f.Add(small)
	f.Fuzz(func(t *testing.T, data []byte) {
		sections, err := ReadUKI(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, section := range sections {
			if content, err := io.ReadAll(section.Content(bytes.NewReader(data))); err != nil || int64(len(content)) != section.Size {
				t.Fatalf("section %q: %d of %d bytes (%v)", section.Name, len(content), section.Size, err)
			}
		}
		uki, err := UKI(data, testSections())
		if err != nil {
			return
		}
		if again, err := ReadUKI(bytes.NewReader(uki), int64(len(uki))); err != nil || len(again) != len(sections)+5 {
			t.Fatalf("what UKI wrote has %d sections (%v), the stub %d", len(again), err, len(sections))
		}
	})
}
