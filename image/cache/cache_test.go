package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func TestKeyKeepsPartsApart(t *testing.T) {
	if Key("ab", "c") == Key("a", "bc") || Key("a") == Key("a", "") {
		t.Fatal("two different lists of parts gave one key")
	}
}

func TestAProductIsBuiltOnceHoweverManyAsk(t *testing.T) {
	c := Cache{Root: t.TempDir()}
	var built atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dir, err := c.Build(t.Context(), "thing", Key("v1"), func(_ context.Context, dir string) error {
				built.Add(1)
				return os.WriteFile(filepath.Join(dir, "a"), []byte("x"), 0o444)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := os.Stat(filepath.Join(dir, "a")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := built.Load(); n != 1 {
		t.Fatalf("built %d times", n)
	}
}

func TestAFailedBuildLeavesNothingAndIsTriedAgain(t *testing.T) {
	c := Cache{Root: t.TempDir()}
	boom := errors.New("boom")
	_, err := c.Build(t.Context(), "thing", "k", func(_ context.Context, dir string) error {
		os.WriteFile(filepath.Join(dir, "half"), nil, 0o644)
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	// a killed build leaves its folder; the next one must not inherit its files
	os.MkdirAll(filepath.Join(c.Root, "thing", "k.tmp"), 0o755)
	os.WriteFile(filepath.Join(c.Root, "thing", "k.tmp", "half"), nil, 0o644)
	dir, err := c.Build(t.Context(), "thing", "k", func(context.Context, string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 0 {
		t.Fatalf("inherited %v", left)
	}
}

func TestWhoWaitsForAnotherBuilderIsTold(t *testing.T) {
	waits := make(chan string, 1)
	c := Cache{Root: t.TempDir(), Waiting: func(product string) { waits <- product }}
	_, err := c.Build(t.Context(), "thing", "k", func(ctx context.Context, _ string) error {
		impatient, cancel := context.WithCancel(ctx)
		second := make(chan error)
		go func() { _, err := c.Build(impatient, "thing", "k", nil); second <- err }()
		if product := <-waits; product != "thing" {
			t.Errorf("told of %q", product)
		}
		cancel()
		if err := <-second; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up waiting got %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAFolderIsOneBuildersAtATime(t *testing.T) {
	folder := t.TempDir()
	unlock, err := LockFolder(t.Context(), folder, func() { t.Error("it waits for nobody") })
	if err != nil {
		t.Fatal(err)
	}
	waits, second := make(chan struct{}), make(chan error)
	go func() {
		unlock, err := LockFolder(t.Context(), folder, func() { close(waits) })
		if err == nil {
			unlock()
		}
		second <- err
	}()
	<-waits
	select {
	case <-second:
		t.Fatal("two have it at once")
	default:
	}
	unlock()
	if err := <-second; err != nil {
		t.Error(err)
	}
	if _, err := LockFolder(t.Context(), folder+"-missing", nil); err == nil {
		t.Error("a folder that isn't there was locked")
	}
}
