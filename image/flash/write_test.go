package flash

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/partition/gpt"

	"runa/image/disk"
	"runa/services/hint"
)

const smallSize = 24 * mebibyte

// memory is a disk whose cache is lost at a power cut.
type memory struct {
	kept, seen []byte     // what the medium has, and what its cache shows
	dirty      [][2]int   // written since the last Sync
	steps      int        // writes and syncs done
	writes     int        // of these
	cutAt      int        // the step that the power goes in; -1: none
	random     *rand.Rand // how much of the cache the medium has got by then
	spoil      int64      // a byte that the medium doesn't keep; 0: none
}

var errCut = errors.New("the power is gone")

func newMemory(content []byte) *memory {
	return &memory{kept: bytes.Clone(content), seen: bytes.Clone(content), cutAt: -1}
}

func (m *memory) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(m.seen).ReadAt(p, at)
}

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	if m.steps == m.cutAt {
		torn := m.random.IntN(len(p)/sectorSize+1) * sectorSize
		copy(m.seen[at:], p[:torn])
		m.dirty = append(m.dirty, [2]int{int(at), int(at) + torn})
		m.lose()
		return 0, errCut
	}
	m.steps++
	m.writes++
	copy(m.seen[at:], p)
	m.dirty = append(m.dirty, [2]int{int(at), int(at) + len(p)})
	return len(p), nil
}

// lose keeps each dirty piece of the cache or doesn't.
func (m *memory) lose() {
	for _, d := range m.dirty {
		for at := d[0]; at < d[1]; at += sectorSize * 8 {
			if m.random.IntN(2) == 0 {
				end := min(at+sectorSize*8, d[1])
				copy(m.kept[at:end], m.seen[at:end])
			}
		}
	}
}

func (m *memory) Sync() error {
	if m.steps == m.cutAt {
		m.lose()
		return errCut
	}
	m.steps++
	for _, d := range m.dirty {
		copy(m.kept[d[0]:d[1]], m.seen[d[0]:d[1]])
	}
	if m.spoil != 0 {
		m.kept[m.spoil] ^= 1
	}
	copy(m.seen, m.kept)
	m.dirty = nil
	return nil
}

// small returns an image with a table like ours and content of its own.
func small(t *testing.T, seed uint64) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "small")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table := &gpt.Table{LogicalSectorSize: 512, PhysicalSectorSize: 512, GUID: fmt.Sprintf("00000000-0000-4000-8000-%012d", seed), ProtectiveMBR: true}
	for i, p := range []struct {
		name string
		mib  uint64
	}{{disk.BIOSName, 1}, {disk.BootName, 9}, {disk.DataName, 12}} {
		start := uint64(1+[]int{0, 1, 10}[i]) << 11
		table.Partitions = append(table.Partitions, &gpt.Partition{
			Index: i + 1, Name: p.name, Type: gpt.LinuxFilesystem, GUID: fmt.Sprintf("00000000-0000-4000-9000-%012d", i),
			Start: start, End: start + p.mib<<11 - 1, Size: p.mib << 20,
		})
	}
	if err := errors.Join(f.Truncate(smallSize), table.Write(f, smallSize)); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(seed, 0))
	for i := mebibyte; i < smallSize-mebibyte; i++ {
		data[i] = byte(random.Uint32())
	}
	data[7] = byte(seed) // boot code
	return data
}

func flashTo(t *testing.T, m *memory, image []byte) error {
	t.Helper()
	return writing{image: bytes.NewReader(image), size: smallSize, medium: m, room: smallSize, name: "it"}.run(t.Context())
}

// state says what a machine would take a disk for: "old", "new" or "none".
func (m *memory) state(old, new []byte) string {
	r := bytes.NewReader(m.kept)
	_, first := disk.Read(r, smallSize)
	copyAtEnd := bytes.Equal(m.kept[smallSize-sectorSize:][:8], []byte("EFI PART"))
	if first != nil && !copyAtEnd {
		return "none"
	}
	for name, whole := range map[string][]byte{"old": old, "new": new} {
		if bytes.Equal(m.kept[mebibyte:smallSize-mebibyte], whole[mebibyte:smallSize-mebibyte]) {
			return name
		}
	}
	return "a mixture"
}

func TestAPowerCutAtAnyMomentNeverLeavesAMixtureThatBoots(t *testing.T) {
	old, image := small(t, 1), small(t, 2)
	m := newMemory(old)
	if err := flashTo(t, m, image); err != nil {
		t.Fatal(err)
	}
	if got := m.state(old, image); got != "new" {
		t.Fatalf("uncut: %s", got)
	}
	whole := m.steps
	for cut := range whole {
		for seed := range uint64(4) {
			m := newMemory(old)
			m.cutAt, m.random = cut, rand.New(rand.NewPCG(seed, uint64(cut)))
			if err := flashTo(t, m, image); !errors.Is(err, errCut) || !errors.Is(err, ErrUnusable) || hint.Of(err) == "" {
				t.Fatalf("cut %d: got %v", cut, err)
			}
			state := m.state(old, image)
			_, err := check(t.Context(), source{bytes.NewReader(m.kept), smallSize, nil}, nil, nil)
			switch {
			case state == "a mixture":
				t.Errorf("cut in step %d of %d, seed %d: the disk is taken for one that boots", cut, whole, seed)
			case state == "none" && cut > 2 && cut < whole-2 && !errors.Is(err, ErrUnusable):
				t.Errorf("cut in step %d of %d, seed %d: verify says %v", cut, whole, seed, err)
			case state == "none" && err == nil:
				t.Errorf("cut in step %d of %d, seed %d: verify is content", cut, whole, seed)
			}
		}
	}
}

func TestAMediumThatDoesNotKeepWhatItIsGivenIsFoundOut(t *testing.T) {
	image := small(t, 2)
	for _, place := range []int64{5, recordAt + 3, 3*mebibyte + 9, smallSize - mebibyte - 1, smallSize - 4} {
		m := newMemory(make([]byte, smallSize))
		m.spoil = place
		err := flashTo(t, m, image)
		if !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), fmt.Sprintf("byte %d reads back", place)) {
			t.Errorf("byte %d: got %v", place, err)
		}
	}
}

func TestAnImageThatIsCutOffIsNotWritten(t *testing.T) {
	image := small(t, 2)
	for _, size := range []int64{0, 4 * mebibyte, smallSize - 1, smallSize + sectorSize, smallSize - mebibyte} {
		m := newMemory(make([]byte, smallSize))
		err := writing{image: bytes.NewReader(image), size: size, medium: m, room: smallSize, name: "it"}.run(t.Context())
		if !errors.Is(err, ErrRefused) || m.writes > 0 {
			t.Errorf("%d bytes: got %v, %d writes", size, err, m.writes)
		}
	}
}
