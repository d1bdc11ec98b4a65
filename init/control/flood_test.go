package control

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// floods are the ways to hold a connection.
var floods = []string{
	"",            // silence
	"GET /v1/sta", // half a request
	"GET /v1/logs?lines=1000000 HTTP/1.1\r\nHost: x\r\n\r\n",               // a slow reader
	"GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n",               // an endless reader
	"GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\nx",              // one with more to say
	"POST /v1/net/allow HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n", // a body that does not come
}

// flood holds n connections, in all ways, of the peers that who gives.
func flood(t *testing.T, path string, n int, who func(int) Peer) {
	t.Helper()
	all := crowd{t: t, path: path}
	t.Cleanup(all.leave)
	for i := range n {
		all.connect(who(i), floods[i%len(floods)])
	}
}

func TestAThousandClientsKeepNobodyOut(t *testing.T) {
	for flooder, who := range map[string]func(int) Peer{
		"one process of the owner":          func(int) Peer { return Peer{UID: OwnerUID, PID: 500} },
		"a thousand processes of the owner": func(i int) Peer { return Peer{UID: OwnerUID, PID: int32(1000 + i)} },
		"one process of root":               func(int) Peer { return Peer{UID: 0, PID: 500} },
		"strangers and services":            func(i int) Peer { return Peer{UID: uint32(2000 + i%50), GID: uint32(99 + i%2), PID: int32(i)} },
	} {
		t.Run(flooder, func(t *testing.T) {
			s := testSettings(root)
			s.identify = unmask(root)
			path := start(t, newFake(), s)
			flood(t, path, 1000, who)
			asking := crowd{t: t, path: path}
			for _, asker := range []Peer{{UID: 0, PID: 99}, {UID: OwnerUID, PID: 99}} {
				began := time.Now()
				asking.ask(asker)
				t.Logf("uid %d was answered in %v", asker.UID, time.Since(began))
			}
		})
	}
}

// floodVariable makes the test's own program a flooder of the socket it names.
const floodVariable = "RUNA_TEST_FLOOD"

func TestMain(m *testing.M) {
	if path := os.Getenv(floodVariable); path != "" {
		comeAgainAndAgain(path)
	}
	os.Exit(m.Run())
}

// comeAgainAndAgain connects as fast as it can from many goroutines, until
// nobody listens any more or its standard input ends.
func comeAgainAndAgain(path string) {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	var flooders sync.WaitGroup
	for n := range 16 {
		flooders.Go(func() {
			for {
				c, err := dialAs(path, Peer{UID: OwnerUID, PID: int32(1000*os.Getpid() + n)})
				if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
					return
				}
				if err != nil {
					continue // the queue is full
				}
				io.WriteString(c, statusRequest)
				c.Close()
			}
		})
	}
	flooders.Wait()
	os.Exit(0)
}

func TestClientsThatComeAgainAndAgainKeepNobodyOut(t *testing.T) {
	s := testSettings(root)
	var came atomic.Int64
	s.identify = func(c *net.UnixConn) (Peer, error) {
		came.Add(1)
		return unmask(Peer{UID: OwnerUID, PID: 99})(c)
	}
	path := start(t, newFake(), s)
	for range 2 {
		flooder := exec.CommandContext(t.Context(), os.Args[0])
		flooder.Env = append(os.Environ(), floodVariable+"="+path)
		end, err := flooder.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := flooder.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { end.Close(); flooder.Wait() }()
	}
	await(t, "the flood is there", func() bool { return came.Load() > 1000 })
	client := NewClient(path)
	client.patience = time.Minute // the machine that tests may have much to do, too
	var took []time.Duration
	for range 20 {
		began := time.Now()
		if _, err := client.Status(t.Context()); err != nil {
			t.Errorf("kept out: %v", err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("answered in %v (median), %v (longest) among %d connections", took[len(took)/2], took[len(took)-1], came.Load())
}

func TestAProcessWithTooManyConnectionsIsToldSo(t *testing.T) {
	s := testSettings(root)
	s.identify = unmask(Peer{UID: OwnerUID, PID: 500})
	path := start(t, newFake(), s)
	silent := crowd{t: t, path: path}
	t.Cleanup(silent.leave)
	for range usualBounds.process {
		silent.connect(Peer{UID: OwnerUID, PID: 500}, "")
	}
	if _, err := NewClient(path).once(t.Context(), "GET", "/v1/status", nil); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
}

func TestTheSocketIsServedWithoutAFreeDescriptor(t *testing.T) {
	s := testSettings(root)
	s.identify = unmask(root)
	path, listener := startListening(t, newFake(), s)
	clients := make([]int, 4*spareDescriptors)
	for i := range clients {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		clients[i] = fd
	}
	exhaust(t)
	for i, fd := range clients {
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			continue // this one says nothing and keeps its connection
		}
		if err := askStatus(fd); err != nil {
			t.Errorf("client %d: %v", i, err)
		}
	}
	listener.spares.mu.Lock()
	defer listener.spares.mu.Unlock()
	t.Logf("%d spare descriptors are left", len(listener.spares.kept))
}

// exhaust opens descriptors until this process can't have more.
func exhaust(t *testing.T) {
	t.Helper()
	var usual unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &usual); err != nil {
		t.Fatal(err)
	}
	few := usual
	few.Cur = min(few.Cur, 512)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &usual) })
	for {
		fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EMFILE) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
	}
}

// askStatus asks on a socket without opening anything.
func askStatus(fd int) error {
	if _, err := unix.Write(fd, []byte(statusRequest)); err != nil {
		return err
	}
	answer := make([]byte, 1<<10)
	n, err := unix.Read(fd, answer)
	if err != nil {
		return err
	}
	if want := "HTTP/1.1 200 OK"; len(answer[:n]) < len(want) || string(answer[:len(want)]) != want {
		return fmt.Errorf("answered %q", answer[:n])
	}
	return nil
}
