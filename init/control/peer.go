package control

import (
	"fmt"
	"io"
	"log"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// The owner of the machine and the group of all services.
const (
	OwnerUID = 1000
	GroupGID = 100
)

// Peer is who is at the other end of a connection, as the kernel says.
type Peer struct {
	UID, GID uint32
	PID      int32
}

// MayRead is the rule for looking: root, the owner, group runa.
func (p Peer) MayRead() bool { return p.MayChange() || p.GID == GroupGID }

// MayChange is the rule for acting: root and the owner.
func (p Peer) MayChange() bool { return p.UID == 0 || p.UID == OwnerUID }

// PeerOf asks the kernel who connected (SO_PEERCRED, unix(7)).
func PeerOf(c *net.UnixConn) (Peer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Peer{}, fmt.Errorf("ask who connected: %w", err)
	}
	var credentials *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		credentials, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return Peer{}, fmt.Errorf("ask who connected: %w", err)
	}
	return Peer{credentials.Uid, credentials.Gid, credentials.Pid}, nil
}

type peerKey struct{}

// discardLog takes what net/http would say about broken clients.
var discardLog = log.New(io.Discard, "", 0)

// peerListener learns who connects and bounds the connections of each user, so
// that nobody can keep the others from asking.
type peerListener struct {
	*net.UnixListener
	identify func(*net.UnixConn) (Peer, error)
	mu       sync.Mutex
	open     map[uint32]int // by uid
}

type peerConn struct {
	*net.UnixConn
	peer    *Peer
	release func()
}

func (c *peerConn) Close() error {
	c.release()
	return c.UnixConn.Close()
}

// Accept returns the next connection that is within its user's bound; others
// are closed at once.
func (l *peerListener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		peer, err := l.identify(c)
		if err != nil || !l.take(peer.UID) {
			c.Close()
			continue
		}
		return &peerConn{c, &peer, sync.OnceFunc(func() { l.giveBack(peer.UID) })}, nil
	}
}

func (l *peerListener) take(uid uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[uid] >= connectionsPerUser {
		return false
	}
	l.open[uid]++
	return true
}

func (l *peerListener) giveBack(uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[uid]--; l.open[uid] == 0 {
		delete(l.open, uid)
	}
}
