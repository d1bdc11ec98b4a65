package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// disguises count the addresses of clients that pretend to be others.
var disguises atomic.Int64

// dialAs connects as if from another process: the address it is bound to says
// which, and unmask believes it.
func dialAs(path string, p Peer) (*net.UnixConn, error) {
	name := fmt.Sprintf("@runa-test %d %d %d %d %d", p.UID, p.GID, p.PID, os.Getpid(), disguises.Add(1))
	return net.DialUnix("unix", &net.UnixAddr{Name: name, Net: "unix"}, &net.UnixAddr{Name: path, Net: "unix"})
}

// unmask identifies clients by their address; one without is self.
func unmask(self Peer) func(*net.UnixConn) (Peer, error) {
	return func(c *net.UnixConn) (Peer, error) {
		var p Peer
		if c.RemoteAddr().String() == "" || c.RemoteAddr().String() == "@" {
			return self, nil
		}
		_, err := fmt.Sscanf(c.RemoteAddr().String(), "@runa-test %d %d %d", &p.UID, &p.GID, &p.PID)
		return p, err
	}
}

const statusRequest = "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"

// crowd are clients that hold their connections.
type crowd struct {
	t    *testing.T
	path string
	open []*net.UnixConn
}

func (p *crowd) connect(who Peer, request string) {
	c := p.dial(who)
	io.WriteString(c, request) // it may have been turned away
	p.open = append(p.open, c)
}

func (p *crowd) leave() {
	for _, c := range p.open {
		c.Close()
	}
}

func (p *crowd) dial(who Peer) *net.UnixConn {
	p.t.Helper()
	c, err := dialAs(p.path, who)
	for errors.Is(err, unix.EAGAIN) {
		time.Sleep(time.Millisecond)
		c, err = dialAs(p.path, who)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// ask fails the test unless the asker's status request is answered.
func (p *crowd) ask(asker Peer) {
	p.t.Helper()
	c := p.dial(asker)
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, statusRequest); err != nil {
		p.t.Fatalf("uid %d: %v", asker.UID, err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		p.t.Fatalf("uid %d: answered %+v, %v", asker.UID, response, err)
	}
}
