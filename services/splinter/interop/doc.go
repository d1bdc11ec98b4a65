// Package interop reads and writes what a bus holds in formats that other programs
// know: JSON, and the store files of libsplinter (format version 4). It owns the
// formats; it must never open a bus, and never trusts a file: whatever the bytes
// are, a reader returns entries or an error that names the place, in memory
// bounded by the size of its input.
//
// # JSON
//
// One object with a format name and the keys, each on a line of its own:
//
//	{"format": "splinter-export-1", "keys": [
//	{"key": "note", "text": "a value that is UTF-8", "version": 3},
//	{"key": "blob", "base64": "AP8=", "type": "image", "labels": "0x5", "version": 9, "ttl": "1h0m0s"}
//	]}
//
// A value is text if it is UTF-8 without control characters but tabs and line
// ends, else base64; so is a key, else key_base64. Labels are hexadecimal because they have 64 bits and a JSON number
// has 53. Unknown fields, keys given twice and values given twice are errors.
//
// # libsplinter version 4
//
// Source: the declarations in splinter.h and config.h of libsplinter 1.2.0, and
// files that it wrote. All fields are in the byte order of the machine that wrote
// them; this package reads and writes little-endian. A file is a header of 5440
// bytes, then slots of 128 bytes, or of 3200 when the library was built with
// embeddings (768 floats after each slot), then slots times the longest value.
// Nothing in the header tells the two sizes apart, the length of the file does.
//
//	header  0 magic u32  4 version u32  8 slots u32  12 longest value u32  16 epoch u64
//	        24 core flags u8  25 user flags u8  28 value break u32  32 file size u32
//	        56 label to group map, 64 bytes of 0xFF  4352 event descriptor i32 (-1: none)
//	slot    0 FNV-1a hash of the key u64, 0: empty  8 epoch u64, odd: being written
//	        16 value offset u32  20 value length u32  24 type flags u8  25 user flags u8
//	        32 watchers u64  40 created u64  48 used u64  56 labels u64  64 key, 64 bytes
//	        with a final 0  128 embedding, 768 float32
//
// What the two stores do not share travels so: a slot's type flag is the type
// named in its place (see typeNames), labels are labels, a slot's epoch is twice
// our version, and an embedding that is not all zero is a key of its own,
// "embedding/KEY" of type "embedding". User flags, watchers, times and
// lifetimes have no counterpart; a Problem says what was left out and why.
package interop
