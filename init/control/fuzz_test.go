package control

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/contain"
)

// FuzzRequests writes any bytes to a connection. Whatever they are: the
// connection ends, what comes back is HTTP, nothing panics, and nothing was
// changed but by a POST.
func FuzzRequests(f *testing.F) {
	for _, path := range []string{
		"GET /v1/status", "GET /v1/faults", "GET /v1/net", "GET /v1/logs?service=splinfer&lines=3&follow=true",
		"GET /v1/events?service=splinfer&follow=1", "GET /v1/services/splinfer/explain",
		"GET /v1/net/explain?interface=eth0&for=1m30s", "POST /v1/net/off?interface=eth0", "POST /v1/power/off",
		"POST /v1/services/splinfer/restart", "POST /v1/services/splinfer/update?program=/bin/new",
		"POST /v1/services/%2E%2E/start", "OPTIONS *", "CONNECT a:1", "GET //v1/../v1/status", "GET /v1/status/",
	} {
		f.Add([]byte(path + " HTTP/1.1\r\nHost: x\r\n\r\n"))
	}
	f.Add([]byte("POST /v1/net/allow HTTP/1.1\r\nHost: x\r\nContent-Length: 44\r\n\r\n" + `{"interface":"eth0","for_ns":1e9,"token":"A"}`))
	f.Add([]byte("POST /v1/net/allow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n2\r\n{}\r\n0\r\n\r\n"))
	f.Add([]byte("GET /v1/logs?follow=true HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"))
	f.Add([]byte("GET /v1/status HTTP/1.0\r\n\r\nGET /v1/status HTTP/1.1\r\n\r\n"))
	f.Add([]byte{0, 0xff, '\r', '\n', '\r', '\n'})

	backend := newFake()
	backend.tame = true
	path := start(f, backend, testSettings(root))
	f.Fuzz(func(t *testing.T, request []byte) {
		panics := contain.Count()
		c := dialPatiently(t, path)
		defer c.Close()
		go func() {
			c.Write(request) // it may be refused before it is read
			c.CloseWrite()
		}()
		c.SetReadDeadline(time.Now().Add(time.Minute))
		answer, err := io.ReadAll(c)
		if errors.Is(err, unix.ECONNRESET) {
			err = nil // it closed with something unread
		}
		if err != nil {
			t.Fatalf("the connection did not end: %v", err)
		}
		checkAnswer(t, answer)
		if contain.Count() != panics {
			t.Error("the server panicked")
		}
		for len(backend.did) > 0 {
			if did := <-backend.did; !bytes.Contains(request, []byte("POST ")) {
				t.Errorf("without a POST it did: %s", did)
			}
		}
	})
}

// checkAnswer checks that an answer, if there is one, is HTTP and blames the client.
func checkAnswer(t *testing.T, answer []byte) {
	t.Helper()
	if len(answer) == 0 {
		return
	}
	reader := bufio.NewReader(bytes.NewReader(answer))
	response, err := http.ReadResponse(reader, nil)
	for err == nil && response.StatusCode == http.StatusContinue {
		response, err = http.ReadResponse(reader, nil)
	}
	if err != nil {
		t.Fatalf("%v: answered %q", err, answer)
	}
	if response.StatusCode == http.StatusInternalServerError {
		t.Fatalf("a defect: answered %q", answer)
	}
}

// dialPatiently connects, also where the queue is full.
func dialPatiently(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	c, err := (&Client{path, time.Minute}).dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn)
}

// FuzzConnections opens connections of several users and processes, asks, stops
// in the middle and closes, in any order. Whatever it is: the bounds hold, and a
// process that holds no connection is answered at its first try.
func FuzzConnections(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03"))
	f.Add(bytes.Repeat([]byte{0x00, 0x10, 0x20, 0x30, 0x40}, 20))
	f.Add([]byte(strings.Repeat("\x02\x0a\x12\x1a\x22\x2a\x32\x3a", 10)))
	f.Add([]byte("\x01\x09\x04\x05\x03\x03\x07\x0f\x17\x05\x06\x06"))
	f.Fuzz(func(t *testing.T, steps []byte) {
		s := testSettings(root)
		s.identify = unmask(Peer{UID: OwnerUID, PID: 99})
		s.bounds = bounds{process: 2, user: 4, all: 8}
		path, listener := startListening(t, newFake(), s)
		people := crowd{t: t, path: path}
		for _, step := range steps[:min(len(steps), 64)] {
			people.step(step)
			checkBounds(t, &listener.door)
		}
		for _, asker := range []Peer{{UID: 0, PID: 99}, {UID: OwnerUID, PID: 99}, {UID: 101, GID: GroupGID, PID: 99}} {
			people.ask(asker)
		}
		people.leave()
		await(t, "everybody has left", func() bool {
			listener.door.mu.Lock()
			defer listener.door.mu.Unlock()
			return len(listener.door.inside) == 0
		})
	})
}

// step does what the low three bits say, as who the next three say.
func (p *crowd) step(step byte) {
	who := Peer{UID: []uint32{0, OwnerUID, 101, 3000}[step>>3&3], GID: GroupGID, PID: 1 + int32(step>>5)}
	switch step & 7 {
	case 0:
		p.connect(who, "")
	case 1:
		p.connect(who, "GET /v1/sta")
	case 2:
		p.connect(who, statusRequest)
	case 3:
		p.connect(who, "GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
	case 4:
		p.connect(who, "POST /v1/net/allow HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
	case 5:
		p.someone(step, func(c *net.UnixConn) { c.Close() })
	case 6:
		p.someone(step, func(c *net.UnixConn) { c.CloseWrite() })
	case 7:
		p.someone(step, func(c *net.UnixConn) { io.WriteString(c, "tus HTTP/1.1\r\nHost: x\r\n\r\n") })
	}
}

func (p *crowd) someone(step byte, do func(*net.UnixConn)) {
	if len(p.open) > 0 {
		do(p.open[int(step>>3)%len(p.open)])
	}
}
