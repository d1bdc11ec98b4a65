package splinter

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

const testHolder = 7 // of a kind without holders: live for as long as its process

// wholeHeap fails if two blocks overlap, a free one is in no list or in two, or
// the sums are wrong; everything taken must be in want.
func wholeHeap(t interface{ Fatalf(string, ...any) }, b *Bus, want map[block]int) {
	listed := map[uint32]int{}
	for order := range heapOrders {
		for u, n := b.header().heapFree[order], 0; u != 0; u, n = b.links(u-1).next, n+1 {
			if listed[u-1]++; listed[u-1] > 1 || !b.isFree(u-1, order) {
				t.Fatalf("unit %d is in the list of order %d, descriptor %#x, listed %d times", u-1, order, b.unit(u-1).descriptor.Load(), listed[u-1])
			}
		}
	}
	used, taken, at := uint64(0), 0, uint32(0)
	b.walkHeap(func(u uint32, order int, descriptor uint64, ok bool) bool {
		if !ok || u != at {
			t.Fatalf("unit %d, expected at %d: descriptor %#x", u, at, descriptor)
		}
		at += 1 << order
		if descriptor&takenBit == 0 {
			if listed[u] != 1 {
				t.Fatalf("free unit %d is in no list", u)
			}
			return true
		}
		taken++
		used += unitSize << order
		if size, ok := want[b.blockAt(u)]; !ok || unitSize<<order < size {
			t.Fatalf("unit %d is taken with %d bytes, want %d, %v", u, unitSize<<order, size, ok)
		}
		return true
	})
	if at != b.units() || taken != len(want) || used != b.header().heapUsed.Load() {
		t.Fatalf("%d of %d units, %d of %d blocks, %d bytes used, header says %d", at, b.units(), taken, len(want), used, b.header().heapUsed.Load())
	}
}

func TestTheAllocatorBehavesAsASetOfDisjointBlocks(t *testing.T) {
	b := newBus(t, Options{Heap: 3 * 65536}) // no power of two
	rapid.Check(t, func(t *rapid.T) {
		taken := map[block]int{}
		var blocks []block
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(blocks) > 0 && rapid.Bool().Draw(t, "free") {
				i := rapid.IntRange(0, len(blocks)-1).Draw(t, "which")
				b.free(blocks[i])
				b.free(blocks[i]) // twice does no harm
				delete(taken, blocks[i])
				blocks = slices.Delete(blocks, i, i+1)
			} else {
				size := rapid.IntRange(0, 140_000).Draw(t, "size")
				bl, err := b.alloc(size, newHolder(testHolder, 1))
				if err != nil && !errors.Is(err, ErrFull) || err == nil && (b.bytes(bl, uint64(size)) == nil || b.capacity(bl) < size) {
					t.Fatalf("alloc %d: %d, %v", size, bl, err)
				}
				if err == nil {
					taken[bl] = size
					blocks = append(blocks, bl)
				}
			}
			wholeHeap(t, b, taken)
		}
		for _, bl := range blocks {
			b.free(bl)
		}
		for range 2 { // all of it is to be had again in one piece
			bl, err := b.alloc(128<<10, newHolder(testHolder, 1))
			if err != nil {
				t.Fatalf("the heap does not join: %v", err)
			}
			b.free(bl)
		}
	})
}

func TestHandlesAllocateAtOnceWithoutSharing(t *testing.T) {
	b := newBus(t, Options{Heap: 1 << 20})
	var all sync.WaitGroup
	for n := range 4 {
		bus := again(t, b)
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			var mine []block
			for range 3000 {
				if len(mine) > 8 {
					i := random.IntN(len(mine))
					if got := bus.bytes(mine[i], 8); got[0] != byte(n+1) || got[7] != byte(n+1) {
						t.Errorf("block %d of %d was written by %d", mine[i], n, got[0])
					}
					bus.free(mine[i])
					mine = slices.Delete(mine, i, i+1)
				}
				bl, err := bus.alloc(random.IntN(20_000), newHolder(testHolder, uint32(n)))
				if err != nil {
					continue
				}
				for i := range bus.bytes(bl, 8) {
					bus.bytes(bl, 8)[i] = byte(n + 1)
				}
				mine = append(mine, bl)
			}
			for _, bl := range mine {
				bus.free(bl)
			}
		})
	}
	all.Wait()
	wholeHeap(t, b, nil)
}

func init() {
	roles["killedAt"] = killedAt
	roles["killedInAlloc"] = killedInAlloc
}

// killOnStep kills this process at the step that SPLINTER_TEST_STEP numbers.
func killOnStep() {
	n, _ := strconv.Atoi(os.Getenv("SPLINTER_TEST_STEP"))
	hookStep = func(at step) {
		if at == step(n) {
			killSelf()
		}
	}
}

func killedInAlloc(_ context.Context, b *Bus) error {
	killOnStep()
	var blocks []block
	for _, size := range []int{1000, 70_000, 1000, 1000, 1000, 1000, 1000} {
		bl, err := b.alloc(size, newHolder(testHolder, 1))
		if err != nil {
			return err
		}
		blocks = append(blocks, bl)
	}
	for _, bl := range blocks {
		b.free(bl)
	}
	return errors.New("the step was not reached")
}

func TestAProcessKilledInTheAllocatorLeaksNothing(t *testing.T) {
	for _, at := range []step{stepSplit, stepTaken, stepFreed, stepMerged} {
		t.Run(fmt.Sprint("step ", at), func(t *testing.T) {
			b := newBus(t, Options{Heap: 1 << 20})
			startAtStep(t, b, "killedInAlloc", at).wantKilled(t)
			bl, err := b.alloc(100, newHolder(testHolder, 1))
			if err != nil {
				t.Fatal(err)
			}
			wholeHeap(t, b, map[block]int{bl: 100})
			b.free(bl)
			for range 2 {
				if _, err := b.alloc(512<<10, newHolder(testHolder, 1)); err != nil {
					t.Fatalf("half of the heap: %v", err)
				}
			}
			if r, err := b.Check(); err != nil || !r.Clean() {
				t.Fatalf("check: %+v, %v", r, err)
			}
		})
	}
}

func TestABlockOfTheDeadThatNobodyRefersToIsGotBackBeforeErrFull(t *testing.T) {
	b := newBus(t, Options{Heap: 1 << 20})
	for range 5 {
		child := start(t, b, "holdsABlock").ready(t)
		if _, err := b.alloc(1<<20, newHolder(testHolder, 1)); !errors.Is(err, ErrFull) {
			t.Fatalf("while it lives: %v, want ErrFull", err)
		}
		if r, _ := b.Check(); r.Leaked != 0 {
			t.Fatalf("while it lives: %+v", r)
		}
		child.kill()
		if r, _ := b.Check(); r.Leaked != 1 {
			t.Fatalf("after its death: %+v, want one leaked block", r)
		}
		bl, err := b.alloc(1<<20, newHolder(testHolder, 1))
		if err != nil {
			t.Fatalf("after its death: %v", err)
		}
		b.free(bl)
	}
}

func init() {
	roles["holdsABlock"] = func(_ context.Context, b *Bus) error {
		if _, err := b.alloc(600_000, newHolder(testHolder, 1)); err != nil {
			return err
		}
		fmt.Println("ready")
		select {}
	}
}
