package splinter

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"
)

func TestRoundTripBetweenProcesses(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	start(t, b, "echo").ready(t)
	c, err := b.Dial(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(1000) {
		want := textFrame(t, i, fmt.Sprint("frame", i))
		if err := c.Send(ctx, want); err != nil {
			t.Fatal(err)
		}
		got, err := c.Receive(ctx)
		if err != nil || got.Header != want.Header || tokenText(t, got) != fmt.Sprint("frame", i) {
			t.Fatalf("frame %d came back as %+v, %v", i, got, err)
		}
	}
}

func TestAFrameLargerThanTheRingPassesInPieces(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	start(t, b, "echo").ready(t)
	c, err := b.Dial(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("0123456789abcde\n"), 4<<20/16)
	if err := c.Send(ctx, textFrame(t, 1, string(text))); err != nil {
		t.Fatal(err)
	}
	f, err := c.Receive(ctx)
	if err != nil || tokenText(t, f) != string(text) {
		t.Fatalf("%d bytes came back, %v", len(f.Payload), err)
	}
}

func TestAKilledServerIsErrPeerDiedForAClientThatWaits(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	server := start(t, b, "accept").ready(t)
	c, err := b.Dial(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	server.ready(t)
	unaccepted, err := b.Dial(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	for _, conn := range []*Conn{c, unaccepted} {
		go func() {
			_, err := conn.Receive(ctx)
			ended <- err
		}()
	}
	server.kill()
	for range 2 {
		if err := <-ended; !errors.Is(err, ErrPeerDied) {
			t.Fatalf("receive: %v, want ErrPeerDied", err)
		}
	}
	<-c.Done()
	<-unaccepted.Done()
	if err := c.Send(ctx, textFrame(t, 1, "")); !errors.Is(err, ErrPeerDied) {
		t.Fatalf("send: %v, want ErrPeerDied", err)
	}
	if _, err := b.Dial(ctx, "test"); !errors.Is(err, ErrNoListener) {
		t.Fatalf("dial: %v, want ErrNoListener", err)
	}
}

func TestAKilledServerIsErrPeerDiedForASenderWhoseRingIsFull(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	server := start(t, b, "accept").ready(t)
	c, err := b.Dial(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	server.ready(t)
	ended := make(chan error)
	go func() { ended <- c.Send(ctx, textFrame(t, 1, string(make([]byte, 1<<20)))) }()
	for c.out.hasSpace() {
		if ctx.Err() != nil {
			t.Fatal("the ring does not fill")
		}
	}
	server.kill()
	if err := <-ended; !errors.Is(err, ErrPeerDied) {
		t.Fatalf("send: %v, want ErrPeerDied", err)
	}
}

func TestAKilledClientClosesDoneAndFreesTheConnection(t *testing.T) {
	b, ctx := newBus(t, Options{Connections: 1}), limit(t)
	l, err := b.Listen("test")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		client := start(t, b, "dial").ready(t)
		c, err := l.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again(t, b).Dial(ctx, "test"); !errors.Is(err, ErrFull) {
			t.Fatalf("a second connection: %v, want ErrFull", err)
		}
		client.kill()
		<-c.Done()
		if _, err := c.Receive(ctx); !errors.Is(err, ErrPeerDied) {
			t.Fatalf("receive: %v, want ErrPeerDied", err)
		}
		c.Close()
	}
	// One that dies before it is accepted is reclaimed by who needs its place.
	start(t, b, "dial").ready(t).kill()
	if _, err := again(t, b).Dial(ctx, "test"); err != nil {
		t.Fatalf("dial after the dead: %v", err)
	}
}

func TestWhatADeadPeerSentWholeIsReceivedBeforeErrPeerDied(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	l, err := b.Listen("test")
	if err != nil {
		t.Fatal(err)
	}
	client := start(t, b, "halfFrame")
	c, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	client.wantKilled(t)
	<-c.Done()
	f, err := c.Receive(ctx)
	if err != nil || tokenText(t, f) != "whole" {
		t.Fatalf("the whole frame: %+v, %v", f, err)
	}
	if _, err := c.Receive(ctx); !errors.Is(err, ErrPeerDied) {
		t.Fatalf("the half frame: %v, want ErrPeerDied", err)
	}
}

func TestAListenerTakesOverTheNameOfADeadOneOnly(t *testing.T) {
	b := newBus(t, Options{})
	server := start(t, b, "echo").ready(t)
	if _, err := b.Listen("test"); !errors.Is(err, ErrInUse) {
		t.Fatalf("while it lives: %v, want ErrInUse", err)
	}
	server.kill()
	if _, err := b.Listen("test"); err != nil {
		t.Fatalf("after its death: %v", err)
	}
	if info, _ := b.Info(); len(info.Endpoints) != 1 || info.Endpoints[0].Generation != 2 || info.Endpoints[0].PID != os.Getpid() {
		t.Fatalf("endpoints %+v", info.Endpoints)
	}
}

func TestAWriterKilledInASetLeavesTheOldValueAndAUsableKey(t *testing.T) {
	b := newBus(t, Options{})
	mustSet(t, b, "key", "old")
	version := wantValue(t, b, "key", "old")
	for range 2 { // the second meets what the first left
		start(t, b, "killedInSet").wantKilled(t)
		if got := wantValue(t, b, "key", "old"); got != version {
			t.Fatalf("version %d, want %d", got, version)
		}
	}
	mustSet(t, b, "key", "new")
	if got := wantValue(t, b, "key", "new"); got != version+1 {
		t.Fatalf("version %d, want %d", got, version+1)
	}
	if info, _ := b.Info(); info.Counters.Repairs == 0 {
		t.Fatal("no repair was counted")
	}
}

func TestAWriterKilledWhileItAddsAKeyLeavesNone(t *testing.T) {
	b := newBus(t, Options{Slots: 64})
	for range 3 {
		start(t, b, "killedInNew").wantKilled(t)
		if _, _, err := b.Get("new"); !errors.Is(err, ErrNotFound) {
			t.Fatalf("get: %v, want ErrNotFound", err)
		}
	}
	for i := range 64 { // every slot is to be had
		mustSet(t, b, fmt.Sprint(i), "value")
	}
}

func TestAProcessKilledWithBothLocksStopsNobody(t *testing.T) {
	b, ctx := newBus(t, Options{Slots: 64}), limit(t)
	start(t, b, "killedInUse").wantKilled(t)
	for i := range 64 {
		mustSet(t, b, fmt.Sprint(i), "value")
	}
	if _, err := b.Dial(ctx, "test"); !errors.Is(err, ErrNoListener) {
		t.Fatal(err)
	}
}

func TestWritersKilledAtAnyInstantLeaveAWholeStore(t *testing.T) {
	b := newBus(t, Options{Slots: 64})
	mustSet(t, b, "kept", "kept")
	for range 15 {
		one, two := start(t, b, "storm").ready(t), start(t, b, "storm").ready(t)
		one.kill()
		two.kill()
		keys, err := b.List("")
		if err != nil || len(keys) > 5 {
			t.Fatalf("keys %q, %v", keys, err)
		}
		for _, key := range keys {
			value, _, err := b.Get(key)
			if err != nil || key != "kept" && (len(value) < 20 || bytes.Count(value, value[:1]) != len(value)) {
				t.Fatalf("%s is torn: %d bytes, %v", key, len(value), err)
			}
			mustSet(t, b, key, "mine")
			if err := b.Unset(key); err != nil {
				t.Fatal(err)
			}
		}
		mustSet(t, b, "kept", "kept")
		mustSet(t, b, "new", "takes over the lock of adding keys")
		if err := b.Unset("new"); err != nil {
			t.Fatal(err)
		}
		if r, err := b.Check(); err != nil || !r.Clean() || r.HeapUsed != 0 || r.Keys != 1 {
			t.Fatalf("check: %+v, %v", r, err)
		}
	}
	for i := range 63 {
		mustSet(t, b, fmt.Sprint(i), "value")
	}
}

func TestASetWakesAWaiterInAnotherProcess(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	ended := make(chan error)
	go func() {
		value, _, err := b.Wait(ctx, "key", 0)
		if err == nil && string(value) != "from afar" {
			err = fmt.Errorf("value %q", value)
		}
		ended <- err
	}()
	word := &b.wake(b.hash("key")).word
	for word.Load()&1 == 0 { // until it sleeps
		if ctx.Err() != nil {
			t.Fatal("nobody sleeps on the key")
		}
	}
	start(t, b, "setKey")
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
