package control

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are made in memory, where time can be
// the test's own.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return &peerConn{c, root, func() {}}, nil
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{} }

// inBubble runs a server with the usual time-outs in a bubble of its own time,
// and gives the test a way to connect.
func inBubble(t *testing.T, f func(t *testing.T, backend *fake, connect func() net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		listener, backend := make(pipes), newFake()
		ctx, cancel := context.WithCancel(t.Context())
		server := newServer(ctx, backend, testSettings(root))
		done := make(chan error, 1)
		go func() { done <- server.Serve(listener) }()
		f(t, backend, func() net.Conn {
			client, service := net.Pipe()
			listener <- service
			return client
		})
		cancel()
		server.Close()
		<-done
	})
}

// gone reads until the connection ends and returns how long that took.
func gone(c net.Conn) time.Duration {
	began := time.Now()
	io.Copy(io.Discard, c)
	return time.Since(began)
}

func TestHalfARequestIsLetGoAfterItsTime(t *testing.T) {
	for name, half := range map[string]string{
		"nothing":       "",
		"a line":        "GET /v1/status HT",
		"headers":       "GET /v1/status HTTP/1.1\r\nHost: x\r\n",
		"no whole body": "POST /v1/net/allow HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, _ *fake, connect func() net.Conn) {
				c := connect()
				io.WriteString(c, half)
				if took := gone(c); took != usualSettings().timeouts.read {
					t.Errorf("it was let go after %v", took)
				}
			})
		})
	}
}

func TestAClientThatDripsIsLetGoAfterItsTime(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *fake, connect func() net.Conn) {
		c := connect()
		go io.Copy(io.Discard, c)
		began := time.Now()
		for _, err := io.WriteString(c, "GET /v1/status?"); err == nil; _, err = io.WriteString(c, "x") {
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > usualSettings().timeouts.read+time.Second {
			t.Errorf("it was let go after %v", took)
		}
	})
}

func TestAFollowerThatDoesNotReadIsLetGo(t *testing.T) {
	inBubble(t, func(t *testing.T, backend *fake, connect func() net.Conn) {
		c := connect()
		io.WriteString(c, "GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
		synctest.Wait() // the first event waits to be read
		time.Sleep(usualSettings().timeouts.write)
		synctest.Wait()
		if n := backend.readers.Load(); n != 0 {
			t.Errorf("%d followers are left", n)
		}
		gone(c)
	})
}

func TestAFollowerMayWaitForADay(t *testing.T) {
	inBubble(t, func(t *testing.T, backend *fake, connect func() net.Conn) {
		c := connect()
		defer c.Close()
		io.WriteString(c, "GET /v1/logs?lines=1&follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		var line LogLine
		decoder := json.NewDecoder(response.Body)
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		go func() { backend.tail <- LogLine{Text: "late"} }()
		if err := decoder.Decode(&line); err != nil || line.Text != "late" {
			t.Errorf("got %+v, %v", line, err)
		}
	})
}
