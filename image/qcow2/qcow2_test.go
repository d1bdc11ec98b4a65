package qcow2

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// testDisk is a disk of five clusters' worth of several kinds of data between
// holes, the last cluster not whole.
func testDisk() []byte {
	disk := make([]byte, 600*mebibyte/32+3*sectorSize)
	random := rand.New(rand.NewPCG(1, 2))
	noise := func(at, length int) {
		for i := at; i < at+length; i++ {
			disk[i] = byte(random.Uint32())
		}
	}
	noise(0, 100)                     // the rest of the cluster zeros
	noise(3*clusterSize, clusterSize) // can't be compressed
	noise(4*clusterSize+17, 3*1000)   // across nothing
	noise(len(disk)-700, 700)         // the last, short cluster
	for i := 70 * clusterSize; i < 130*clusterSize; i++ {
		disk[i] = "a person's own words "[i%21] + byte(i>>15)
	}
	return disk
}

const mebibyte = 1 << 20

func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// sparseFile is a file with that content whose zeros are holes.
func sparseFile(t *testing.T, data []byte) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "sparse.img"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := file.Truncate(int64(len(data))); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(data); at += 4096 {
		page := data[at:min(at+4096, len(data))]
		if bytes.Equal(page, zeros[:len(page)]) {
			continue
		}
		if _, err := file.WriteAt(page, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

func qemuImg(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Fatal("qemu-img is missing: apt-get install qemu-utils")
	}
	out, err := exec.Command("qemu-img", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("qemu-img %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func writeImage(t *testing.T, raw io.ReaderAt, size int64, options Options) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out.qcow2"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	length, err := Write(context.Background(), out, raw, size, options)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := out.Stat(); err != nil || info.Size() != length {
		t.Fatalf("Write says %d bytes, the file has %d (%v)", length, info.Size(), err)
	}
	return out.Name()
}

func TestQEMUFindsWhatWasWritten(t *testing.T) {
	disk := testDisk()
	raw := sparseFile(t, disk)
	var sizes []int64
	for _, options := range []Options{{}, {Compress: true}} {
		image := writeImage(t, raw, int64(len(disk)), options)
		if out := qemuImg(t, "check", image); !strings.Contains(out, "No errors were found") {
			t.Fatalf("%+v: %s", options, out)
		}
		qemuImg(t, "compare", "-f", "raw", "-F", "qcow2", raw.Name(), image)
		info, err := os.Stat(image)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, info.Size())
	}
	if sizes[0] > 70*clusterSize || sizes[1] > sizes[0]/5 {
		t.Errorf("images of %d bytes, compressed %d: holes or compression saved nothing", sizes[0], sizes[1])
	}
}

func TestHolesDoNotChangeTheBytes(t *testing.T) {
	disk := testDisk()
	for _, options := range []Options{{}, {Compress: true}} {
		var sums [][32]byte
		dense, err := os.Open(writeFile(t, "dense.img", disk))
		if err != nil {
			t.Fatal(err)
		}
		defer dense.Close()
		for _, raw := range []io.ReaderAt{dense, sparseFile(t, disk), bytes.NewReader(disk)} {
			data, err := os.ReadFile(writeImage(t, raw, int64(len(disk)), options))
			if err != nil {
				t.Fatal(err)
			}
			sums = append(sums, sha256.Sum256(data))
		}
		if sums[0] != sums[1] || sums[1] != sums[2] {
			t.Errorf("%+v: images of the same disk differ: %x", options, sums)
		}
	}
}

func open(t *testing.T, path string) *Image {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	image, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestReaderReadsWhatQEMUWrote(t *testing.T) {
	disk := testDisk()
	raw := writeFile(t, "disk.img", disk)
	for _, args := range [][]string{
		{},
		{"-c"},
		{"-o", "compat=0.10"},
		{"-c", "-o", "cluster_size=4k"},
		{"-c", "-o", "cluster_size=2M"},
		{"-o", "cluster_size=512"},
		{"-S", "0"},
		{"-o", "lazy_refcounts=on"},
	} {
		image := filepath.Join(t.TempDir(), "qemu.qcow2")
		qemuImg(t, append(append([]string{"convert", "-f", "raw", "-O", "qcow2"}, args...), raw, image)...)
		got := open(t, image)
		if got.Size() != int64(len(disk)) {
			t.Errorf("%v: size %d, expected %d", args, got.Size(), len(disk))
		}
		content := make([]byte, len(disk))
		if _, err := got.ReadAt(content, 0); err != nil || !bytes.Equal(content, disk) {
			t.Errorf("%v: content differs (%v)", args, err)
		}
	}
}

func TestReaderRefusesWhatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	base, over, zstd := filepath.Join(dir, "base"), filepath.Join(dir, "over"), filepath.Join(dir, "zstd")
	qemuImg(t, "create", "-q", "-f", "qcow2", base, "1M")
	qemuImg(t, "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", over)
	qemuImg(t, "create", "-q", "-f", "qcow2", "-o", "compression_type=zstd", zstd, "1M")
	good, err := os.ReadFile(base)
	if err != nil {
		t.Fatal(err)
	}
	patched := func(offset int, data ...byte) []byte {
		image := bytes.Clone(good)
		copy(image[offset:], data)
		return image
	}
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for want, data := range map[string][]byte{
		"not a qcow2 image":     []byte("GIF89a"),
		"backing file":          read(over),
		"compression type":      read(zstd),
		"version 9":             patched(atVersion, 0, 0, 0, 9),
		"encrypted":             patched(atEncryption, 0, 0, 0, 1),
		"incompatible features": patched(atIncompatible, 0, 0, 0, 0, 0, 0, 0, 4),
		"clusters of 2^40":      patched(atClusterBits, 0, 0, 0, 40),
		"too large":             patched(atSize, 0x80),
		"not within the file":   patched(atL1Entries, 0xff, 0xff, 0xff, 0xff),
		"too few":               patched(atSize, 0, 0, 1),
	} {
		_, err := Open(bytes.NewReader(data), int64(len(data)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("expected an error with %q, got %v", want, err)
		}
	}
	if _, err := Open(bytes.NewReader(nil), 0); !errors.Is(err, ErrNotQcow2) {
		t.Errorf("empty file: %v", err)
	}
}

func TestCutOffImageIsAnErrorNotZeros(t *testing.T) {
	disk := testDisk()
	for _, options := range []Options{{}, {Compress: true}} {
		whole, err := os.ReadFile(writeImage(t, bytes.NewReader(disk), int64(len(disk)), options))
		if err != nil {
			t.Fatal(err)
		}
		l1 := binary.BigEndian.Uint64(whole[atL1:])
		l2 := binary.BigEndian.Uint64(whole[l1:]) & offsetMask
		binary.BigEndian.PutUint64(whole[l2:], binary.BigEndian.Uint64(whole[l2:])|1<<45)
		image, err := Open(bytes.NewReader(whole), int64(len(whole)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = image.ReadAt(make([]byte, 10), 0)
		if err == nil || !strings.Contains(err.Error(), "behind the end") {
			t.Errorf("%+v: expected an error, got %v", options, err)
		}
	}
}

func TestWriteRefusesImpossibleSizes(t *testing.T) {
	for _, size := range []int64{-1, 0, 100, maximumSize + sectorSize} {
		if _, err := Write(context.Background(), nil, nil, size, Options{}); err == nil {
			t.Errorf("size %d: no error", size)
		}
	}
	short := bytes.NewReader(make([]byte, 1000))
	if _, err := Write(context.Background(), &memory{}, short, 4096, Options{}); err == nil {
		t.Error("a raw image shorter than its size: no error")
	}
}

// memory is a file of bytes.
type memory struct{ data []byte }

func (m *memory) WriteAt(p []byte, offset int64) (int, error) {
	if end := offset + int64(len(p)); end > int64(len(m.data)) {
		m.data = append(m.data, make([]byte, end-int64(len(m.data)))...)
	}
	return copy(m.data[offset:], p), nil
}

func TestWrittenIsReadAtAnyOffset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		disk := make([]byte, sectorSize*rapid.IntRange(1, 1500).Draw(t, "sectors"))
		for range rapid.IntRange(0, 6).Draw(t, "pieces") {
			at := rapid.IntRange(0, len(disk)-1).Draw(t, "at")
			piece := rapid.SliceOfN(rapid.Byte(), 1, 64).Draw(t, "piece")
			for range rapid.IntRange(1, 3000).Draw(t, "times") {
				at += copy(disk[at:], piece)
			}
		}
		var out memory
		options := Options{Compress: rapid.Bool().Draw(t, "compress")}
		if _, err := Write(context.Background(), &out, bytes.NewReader(disk), int64(len(disk)), options); err != nil {
			t.Fatal(err)
		}
		image, err := Open(bytes.NewReader(out.data), int64(len(out.data)))
		if err != nil {
			t.Fatal(err)
		}
		from := rapid.IntRange(0, len(disk)).Draw(t, "from")
		got, err := io.ReadAll(io.NewSectionReader(image, int64(from), int64(len(disk)-from)))
		if err != nil || !bytes.Equal(got, disk[from:]) {
			t.Fatalf("from byte %d: content differs (%v)", from, err)
		}
		if n, err := image.ReadAt(make([]byte, 8), int64(len(disk))-4); n != 4 || err != io.EOF {
			t.Fatalf("across the end: %d bytes, %v", n, err)
		}
	})
}

// tinyImage has clusters of 512 bytes: header, L1, L2, one cluster of data, and a
// compressed one of the same bytes.
func tinyImage() []byte {
	image := make([]byte, 2048, 4096)
	big := binary.BigEndian
	copy(image, magic)
	big.PutUint32(image[atVersion:], 3)
	big.PutUint32(image[atClusterBits:], 9)
	big.PutUint64(image[atSize:], 3*512)
	big.PutUint32(image[atL1Entries:], 1)
	big.PutUint64(image[atL1:], 512)
	big.PutUint32(image[atHeaderLength:], headerBytes)
	big.PutUint64(image[512:], 1024)
	copy(image[1536:], bytes.Repeat([]byte("x"), 512))
	big.PutUint64(image[1024:], 1536)
	big.PutUint64(image[1032:], flagCompressed|2048)
	d := newTestDeflater()
	packed, _ := d.deflate(image[1536:])
	return append(image, append(packed, make([]byte, 512-len(packed))...)...)
}

func newTestDeflater() *deflater {
	list, err := newDeflaters(1)
	if err != nil {
		panic(err)
	}
	return list[0]
}

func TestTinyClustersAreRead(t *testing.T) {
	data := tinyImage()
	image, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 3*512)
	_, err = image.ReadAt(got, 0)
	want := append(bytes.Repeat([]byte("x"), 1024), make([]byte, 512)...)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("content differs (%v)", err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(tinyImage())
	f.Fuzz(func(t *testing.T, data []byte) {
		image, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		buffer := make([]byte, 4000)
		for _, at := range []int64{0, image.Size() / 2, image.Size() - 1} {
			n, err := image.ReadAt(buffer, max(at, 0))
			if n < len(buffer) && err == nil {
				t.Fatalf("read %d of %d bytes at %d without an error", n, len(buffer), at)
			}
		}
	})
}
