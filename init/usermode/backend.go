package usermode

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/control"
	"runa/services/hint"
)

// Status gathers the state of everything a user's gilgul knows of.
func (m *manager) Status() control.Status {
	s := control.Status{
		Version: m.options.Version, Uptime: time.Since(m.began), ReadyAfter: m.ReadyAfter(),
		Services: m.Supervisor.Status(), Problems: m.problems.list(), NotConfined: m.NotConfined(), Faults: m.Faults(), Pressure: m.Pressure(),
		Data: control.DataStatus{Mounted: true, Device: m.places.Data},
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		s.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	var fs unix.Statfs_t
	if unix.Statfs(m.places.Data, &fs) == nil {
		s.Data.SizeBytes, s.Data.FreeBytes = fs.Blocks*uint64(fs.Bsize), fs.Bavail*uint64(fs.Bsize)
	}
	return s
}

// Power ends this gilgul; the machine is not its own.
func (m *manager) Power(action string) error {
	if action == control.Reboot {
		return hint.New(errors.New("start the machine again: "+notHere), "runa poweroff ends gilgul")
	}
	select {
	case m.ends <- struct{}{}:
	default: // it is ending already
	}
	return nil
}

const notHere = "gilgul is a user's service manager here and not the machine's"

var errNoNetwork = hint.New(errors.New("change the network: "+notHere), "nothing here touches a network; ask the machine's administrator")

// ExplainNet, AllowNet and NetOff are the appliance's.
func (m *manager) ExplainNet(string, time.Duration) (control.NetExplanation, error) {
	return control.NetExplanation{}, errNoNetwork
}

// AllowNet is the appliance's.
func (m *manager) AllowNet(string, time.Duration, control.Peer) (control.Consent, error) {
	return control.Consent{}, errNoNetwork
}

// NetOff is the appliance's.
func (m *manager) NetOff(string) error { return errNoNetwork }

// Sabotage is for machines made for tests.
func (m *manager) Sabotage(string) error {
	return fmt.Errorf("do a fault: %w", control.ErrForbidden)
}

// peerOf makes the user who runs this gilgul its owner; besides them root may
// ask, and nobody else.
func peerOf(c *net.UnixConn) (control.Peer, error) {
	peer, err := control.PeerOf(c)
	if err != nil {
		return peer, err
	}
	const nobody = 65534
	switch peer.UID {
	case uint32(os.Getuid()):
		peer.UID = control.OwnerUID
	case 0:
	default:
		peer.UID, peer.GID = nobody, nobody
	}
	return peer, nil
}

// problems are what does not work, each once.
type problems struct {
	mu  sync.Mutex
	all []control.Problem
}

func (p *problems) add(one control.Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all) < 64 && !slices.Contains(p.all, one) {
		p.all = append(p.all, one)
	}
}

func (p *problems) list() []control.Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}
