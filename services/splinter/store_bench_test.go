package splinter

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// shmBus makes a bus where the appliance has it: on a tmpfs.
func shmBus(b *testing.B, o Options) *Bus {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "splinter-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	bus, err := Create(filepath.Join(dir, "bus"), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { bus.Close() })
	return bus
}

var benchSizes = []int{64, 1 << 10, 64 << 10}

func BenchmarkGet(b *testing.B) {
	bus := shmBus(b, Options{})
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			if err := bus.Set("bench/key", make([]byte, size)); err != nil {
				b.Fatal(err)
			}
			buffer := make([]byte, 0, size)
			for b.Loop() {
				got, _, err := bus.AppendGet(buffer, "bench/key")
				if err != nil || len(got) != size {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSet(b *testing.B) {
	bus := shmBus(b, Options{})
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			value := bytes.Repeat([]byte{1}, size)
			for b.Loop() {
				if err := bus.Set("bench/key", value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What the sizes above cost at least.
func BenchmarkCopy(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			from, to := make([]byte, size), make([]byte, size)
			for b.Loop() {
				copy(to, from)
			}
		})
	}
}

func BenchmarkMissAt65536Keys(b *testing.B) {
	bus := shmBus(b, Options{Slots: 65536})
	for i := range 65536 {
		if err := bus.Set(fmt.Sprint("key/", i), []byte("value")); err != nil {
			b.Fatal(err)
		}
	}
	misses := make([]string, 4096)
	for i := range misses {
		misses[i] = fmt.Sprint("miss/", i)
	}
	i := 0
	for b.Loop() {
		if _, _, err := bus.AppendGet(nil, misses[i%4096]); !errors.Is(err, ErrNotFound) {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkAllocAndFree(b *testing.B) {
	bus := shmBus(b, Options{})
	for b.Loop() {
		bl, err := bus.alloc(64<<10, slotHolder(0))
		if err != nil {
			b.Fatal(err)
		}
		bus.free(bl)
	}
}

// BenchmarkAlive asks whether the owner of a lock lives, with many handles there.
func BenchmarkAlive(b *testing.B) {
	path := filepath.Join(b.TempDir(), "bus")
	bus, err := Create(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer bus.Close()
	var others []*Bus
	for range 64 {
		other, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		others = append(others, other)
		defer other.Close()
	}
	for i := 0; b.Loop(); i++ {
		if !bus.alive(others[i%len(others)].self) {
			b.Fatal("it is dead")
		}
	}
}
