package splinter

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"runa/services/rmp"
)

// limit ends a test that hangs; no test depends on how long it is.
func limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func newBus(t *testing.T, o Options) *Bus {
	t.Helper()
	b, err := Create(filepath.Join(t.TempDir(), "bus"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// again opens the same bus once more, as another process would.
func again(t *testing.T, b *Bus) *Bus {
	t.Helper()
	other, err := Open(b.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return other
}

func textFrame(t testing.TB, id uint64, text string) rmp.Frame {
	t.Helper()
	f, err := rmp.New(rmp.SchemaToken, time.UnixMilli(1000), [16]byte{1}, id, rmp.Token{Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func tokenText(t testing.TB, f rmp.Frame) string {
	t.Helper()
	var token rmp.Token
	if err := f.Unmarshal(&token); err != nil {
		t.Fatal(err)
	}
	return token.Text
}

// connect returns both ends of a connection between two handles.
func connect(t *testing.T, b *Bus) (near, far *Conn) {
	t.Helper()
	ctx := limit(t)
	l, err := b.Listen("test")
	if err != nil {
		t.Fatal(err)
	}
	near, err = again(t, b).Dial(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	far, err = l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

func TestFramesGoBothWaysInOrderAndCloseIsEOF(t *testing.T) {
	near, far := connect(t, newBus(t, Options{}))
	ctx := limit(t)
	for i := range uint64(100) {
		if err := near.Send(ctx, textFrame(t, i, "to")); err != nil {
			t.Fatal(err)
		}
		if err := far.Send(ctx, textFrame(t, i, "fro")); err != nil {
			t.Fatal(err)
		}
	}
	near.Close()
	<-far.Done()
	for i := range uint64(100) {
		f, err := far.Receive(ctx)
		if err != nil || f.MsgID != i || tokenText(t, f) != "to" {
			t.Fatalf("frame %d: %v, %v", i, f, err)
		}
	}
	if _, err := far.Receive(ctx); err != io.EOF {
		t.Fatalf("after the last frame: %v, want io.EOF", err)
	}
	if err := far.Send(ctx, textFrame(t, 0, "")); !errors.Is(err, ErrClosed) {
		t.Fatalf("send to a closed peer: %v, want ErrClosed", err)
	}
}

func now() time.Time { return time.UnixMilli(1000) }

func TestWhatAClientSentBeforeItClosedIsReadByALateAccept(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	l, err := b.Listen("test")
	if err != nil {
		t.Fatal(err)
	}
	near, err := b.Dial(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := near.Send(ctx, textFrame(t, 1, "note")); err != nil {
		t.Fatal(err)
	}
	near.Close()
	far, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := far.Receive(ctx); err != nil || tokenText(t, f) != "note" {
		t.Fatalf("%v, %v", f, err)
	}
	if _, err := far.Receive(ctx); err != io.EOF {
		t.Fatalf("then %v, want io.EOF", err)
	}
}

func TestCloseEndsWhatWaitsOnBothSides(t *testing.T) {
	near, far := connect(t, newBus(t, Options{}))
	ctx := limit(t)
	ended := make(chan error, 2)
	for _, c := range []*Conn{near, far} {
		go func() {
			_, err := c.Receive(ctx)
			ended <- err
		}()
	}
	near.Close()
	first, second := <-ended, <-ended
	if first == io.EOF {
		first, second = second, first
	}
	if !errors.Is(first, ErrClosed) || second != io.EOF {
		t.Fatalf("got %v and %v, want ErrClosed here and io.EOF there", first, second)
	}
	<-near.Done()
	<-far.Done()
}

func TestAListenerThatClosesClosesWhatItHasNotAccepted(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	l, err := b.Listen("test")
	if err != nil {
		t.Fatal(err)
	}
	c, err := again(t, b).Dial(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	<-c.Done()
	if _, err := c.Receive(ctx); err != io.EOF {
		t.Fatalf("receive: %v, want io.EOF", err)
	}
	if _, err := l.Accept(ctx); !errors.Is(err, ErrClosed) {
		t.Fatalf("accept: %v, want ErrClosed", err)
	}
	if _, err := b.Dial(ctx, "test"); !errors.Is(err, ErrNoListener) {
		t.Fatalf("dial: %v, want ErrNoListener", err)
	}
}

func TestACancelledReceiveLosesNothing(t *testing.T) {
	near, far := connect(t, newBus(t, Options{}))
	ctx := limit(t)
	encoded, err := rmp.Encode(textFrame(t, 5, "in two parts"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := near.out.write(encoded[:40]); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithCancel(ctx)
	ended := make(chan error)
	go func() {
		_, err := far.Receive(short)
		ended <- err
	}()
	for far.in.hasData() {
		if ctx.Err() != nil {
			t.Fatal("the first part is not taken")
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	if _, err := near.out.write(encoded[40:]); err != nil {
		t.Fatal(err)
	}
	if f, err := far.Receive(ctx); err != nil || tokenText(t, f) != "in two parts" {
		t.Fatalf("%v, %v", f, err)
	}
}

func TestASendCutOffInAFrameClosesTheConnection(t *testing.T) {
	near, far := connect(t, newBus(t, Options{}))
	ctx := limit(t)
	short, cancel := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- near.Send(short, textFrame(t, 1, string(make([]byte, 1<<20)))) }()
	for near.out.hasSpace() {
		if ctx.Err() != nil {
			t.Fatal("the ring does not fill")
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	<-far.Done()
	if _, err := far.Receive(ctx); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("receive: %v, want io.ErrUnexpectedEOF", err)
	}
}

func TestClosingTheBusGivesEverythingBack(t *testing.T) {
	b := newBus(t, Options{})
	ctx := limit(t)
	for range 2 * processLimit {
		other, err := Open(b.Path())
		if err != nil {
			t.Fatal(err)
		}
		l, err := other.Listen("test")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Dial(ctx, "test"); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Accept(ctx); err != nil {
			t.Fatal(err)
		}
		other.Close()
		if err := other.Set("key", nil); !errors.Is(err, ErrClosed) {
			t.Fatalf("set on a closed bus: %v", err)
		}
	}
	if info, _ := b.Info(); info.OpenConnections != 0 || len(info.Endpoints) != 0 {
		t.Fatalf("left behind: %+v", info)
	}
}

// Every state a connection can be in, and what each side makes of it.
func TestWhatASideMakesOfAState(t *testing.T) {
	const both = heldByClient | heldByServer
	for _, c := range []struct {
		state          uint32
		client, server peerState
	}{
		{heldByClient | pending, peerThere, peerThere},
		{both, peerThere, peerThere},
		{released(both, client, true), peerThere, peerClosed},
		{released(both, client, false), peerThere, peerDied},
		{released(both, server, true), peerClosed, peerThere},
		{released(both, server, false), peerDied, peerThere},
		{released(heldByClient|pending, client, true), peerThere, peerClosed},
		{released(heldByClient|pending, server, true), peerClosed, peerThere},
		{released(heldByClient|pending, server, false), peerDied, peerThere},
	} {
		if got := peerOf(c.state, client); got != c.client {
			t.Errorf("state %05b: client sees %d, want %d", c.state, got, c.client)
		}
		if got := peerOf(c.state, server); got != c.server {
			t.Errorf("state %05b: server sees %d, want %d", c.state, got, c.server)
		}
	}
	for _, end := range []uint32{
		released(released(both, client, true), server, true), released(released(both, server, false), client, false),
		released(heldByClient|pending, client, false), released(released(heldByClient|pending, client, true), server, false),
	} {
		if end&heldMask != 0 {
			t.Errorf("state %05b is not free", end)
		}
	}
}
