package control

import (
	"fmt"
	"net"

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

// mayRead is the rule for looking: root, the owner, group runa.
func (p Peer) mayRead() bool { return p.mayChange() || p.GID == GroupGID }

// mayChange is the rule for acting: root and the owner.
func (p Peer) mayChange() bool { return p.UID == 0 || p.UID == OwnerUID }

// isRoot is the rule for tests of gilgul itself.
func (p Peer) isRoot() bool { return p.UID == 0 }

// strangers is the account that all those share who may not even look.
const strangers = ^uint32(0)

// account is the user on whose account a peer's connections go.
func (p Peer) account() uint32 {
	if p.mayRead() {
		return p.UID
	}
	return strangers
}
