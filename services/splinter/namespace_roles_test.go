package splinter

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// What processes of the tests of namespaces do.

func init() {
	roles["hearsOfDeath"] = hearsOfDeath
	roles["holdsLocks"] = holdsLocks
	roles["seesAlive"] = seesAlive
	roles["setsAndGoes"] = setsAndGoes
	roles["listenFails"] = listenFails
	roles["leavesAChild"] = leavesAChild
}

// hearsOfDeath dials and says when its peer has died.
func hearsOfDeath(ctx context.Context, b *Bus) error {
	c, err := b.Dial(ctx, "test")
	if err != nil {
		return errors.Join(err, alone())
	}
	fmt.Println("dialled")
	if _, err := c.Receive(ctx); !errors.Is(err, ErrPeerDied) {
		return fmt.Errorf("receive: %w, ErrPeerDied was expected", err)
	}
	fmt.Println("heard")
	return alone()
}

// holdsLocks stays with every lock but that of channels, which who opens the bus needs.
func holdsLocks(_ context.Context, b *Bus) error {
	if err := b.Set("key", []byte("whole")); err != nil {
		return err
	}
	b.lockStore()
	b.takeSlot()
	b.lock(&b.header().logLock)
	b.lock(&b.header().heapLock)
	i, _, _ := b.find(b.hash("key"), "key")
	b.lockSlot(i)
	fmt.Println("locked")
	select {}
}

// seesAlive asks again and again whether who has the lock of adding keys lives,
// then waits for its death.
func seesAlive(_ context.Context, b *Bus) error {
	owner := b.header().storeLock.Load()
	died := make(chan struct{})
	b.watchDeath(owner, func() { close(died) })
	for n := range 10_000 {
		if !b.alive(owner) {
			return fmt.Errorf("question %d: owner %#x is said to be dead", n, owner)
		}
	}
	select {
	case <-died:
		return errors.New("the death of the living was told")
	default:
	}
	fmt.Println("alive")
	<-died
	if b.alive(owner) {
		return errors.New("a death was told of one that is said to live")
	}
	fmt.Println("dead")
	return alone()
}

// setsAndGoes needs each of the locks of holdsLocks.
func setsAndGoes(_ context.Context, b *Bus) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for range b.Watch(ctx, Selector{Key: "key"}) {
		break
	}
	return errors.Join(b.Set("key", make([]byte, 1000)), b.Set("new", nil), alone())
}

func listenFails(_ context.Context, b *Bus) error {
	for range 100 {
		if _, err := b.Listen("test"); !errors.Is(err, ErrInUse) {
			return fmt.Errorf("listen: %w, ErrInUse was expected", err)
		}
	}
	return alone()
}

// leavesAChild has a child of its own that outlives it.
func leavesAChild(ctx context.Context, b *Bus) error {
	orphan := programCommand(os.Args[0])
	orphan.Env = append(os.Environ(), "SPLINTER_TEST_ROLE=orphan")
	orphan.Stdin = os.Stdin // the test's, whose end it waits for
	if err := orphan.Start(); err != nil {
		return err
	}
	return acceptAndStay(ctx, b)
}
