package control

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Listen makes the control socket, replacing one that an earlier gilgul left.
// Everybody may connect: who may ask what is decided by who they are.
func Listen(path string) (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the control socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace the control socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("make the control socket: %w", err)
	}
	if err := errors.Join(os.Chmod(path, 0o666), shorten(l)); err != nil {
		l.Close()
		return nil, fmt.Errorf("open the control socket to users: %w", err)
	}
	return l, nil
}

// queueLength is how many connections may wait to be accepted. The longer it is,
// the longer waits who comes last; who finds it full has to try again.
const queueLength = 128

// shorten sets the length of the queue; Go makes it as long as the kernel allows.
func shorten(l *net.UnixListener) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.Listen(int(fd), queueLength) })
	return errors.Join(err, failed)
}

type peerKey struct{}

// discardLog takes what net/http would say about broken clients.
var discardLog = log.New(io.Discard, "", 0)

// peerListener learns who connects, lets the door decide who may stay, and goes
// on when this process has no descriptor left.
type peerListener struct {
	*net.UnixListener
	identify func(*net.UnixConn) (Peer, error)
	door     door
	spares   spares
}

func newPeerListener(l *net.UnixListener, s settings) *peerListener {
	listener := &peerListener{UnixListener: l, identify: s.identify, door: door{limit: s.bounds}}
	listener.spares.refill()
	return listener
}

// peerConn is a connection of which is known whose it is.
type peerConn struct {
	net.Conn
	peer    Peer
	release func()
}

func (c *peerConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}

// Accept returns the next connection that may stay; the others are closed at
// once. It fails only when the listener is closed or broken.
func (l *peerListener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		switch {
		case err == nil:
			if conn := l.welcome(c); conn != nil {
				return conn, nil
			}
		case passing(err):
			if err := l.makeRoom(); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}

// welcome returns nil if the connection may not stay.
func (l *peerListener) welcome(c *net.UnixConn) net.Conn {
	peer, err := l.identify(c)
	if err != nil {
		c.Close()
		return nil
	}
	g := &guest{user: peer.account(), pid: peer.PID, shut: func() { c.Close() }}
	conn := &peerConn{c, peer, sync.OnceFunc(func() {
		l.door.leave(g)
		l.spares.refill()
	})}
	if !l.door.enter(g) {
		turnAway(c)
		return nil
	}
	return conn
}

// turnAway says why, as far as that is possible without waiting, and closes.
func turnAway(c *net.UnixConn) {
	const body = `{"error":"too many requests at once","hint":"this program has too many connections to gilgul open"}` + "\n"
	if c.SetWriteDeadline(time.Now().Add(time.Second)) == nil { // a new socket's buffer is empty: this does not wait
		fmt.Fprintf(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			len(body), body)
	}
	c.Close()
}

// passing reports whether an error of accept(2) says nothing against the next try.
func passing(err error) bool {
	for _, known := range []error{
		unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ECONNABORTED, unix.EINTR, unix.EPERM,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// makeRoom is called when there is no descriptor for a connection. accept(2)
// takes the descriptor first and looks for a connection then, so this waits for
// one before it gives up something that was kept.
func (l *peerListener) makeRoom() error {
	pending, err := l.awaitClient()
	if err != nil || !pending || l.spares.spend() || l.door.shed() {
		return err
	}
	time.Sleep(10 * time.Millisecond) // others of this process may close something
	l.spares.refill()
	return nil
}

// awaitClient waits a moment for a connection to accept. It blocks a thread,
// because a listener can't be waited for by the runtime's poller but by accept.
func (l *peerListener) awaitClient() (pending bool, err error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return false, err
	}
	err = raw.Control(func(fd uintptr) {
		n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
		pending = n > 0
	})
	return pending, err
}

// spareDescriptors is how many are kept: for a few connections and for what
// their answers need to open.
const spareDescriptors = 8

// spares are descriptors kept for when there are no others. A zero value keeps none
// until refill.
type spares struct {
	mu   sync.Mutex
	kept []int
}

// spend closes half of what is kept: for the connection and for what the
// answer needs.
func (s *spares) spend() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := (len(s.kept) + 1) / 2
	for _, fd := range s.kept[:n] {
		unix.Close(fd)
	}
	s.kept = s.kept[n:]
	return n > 0
}

// refill takes as many as are missing and to be had.
func (s *spares) refill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.kept) < spareDescriptors {
		fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return
		}
		s.kept = append(s.kept, fd)
	}
}

func (s *spares) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, fd := range s.kept {
		unix.Close(fd)
	}
	s.kept = nil
}
