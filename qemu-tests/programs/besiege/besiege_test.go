package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestAnEchoCarriesTheChecksumOfItsMessage(t *testing.T) {
	message := echo(1, 7)
	sum := uint32(0)
	for i := 0; i < len(message); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(message[i:]))
	}
	if sum = sum&0xffff + sum>>16; sum != 0xffff {
		t.Errorf("the message with its checksum sums up to %#x", sum)
	}
}

func TestACrowdComesAgainUntilItIsOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	t.Setenv("RUNA_CONTROL", path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var accepted atomic.Int64
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			if accepted.Add(1) > 60 {
				stop()
			}
			connection.Close() // everybody is sent away
		}
	}()
	var out bytes.Buffer
	if err := crowd(ctx, 20, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "all 20 clients came") || accepted.Load() <= 60 {
		t.Errorf("%d came: %s", accepted.Load(), out.String())
	}
}

func TestAFaultIsAskedForByNameAndARefusalTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	t.Setenv("RUNA_CONTROL", path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 2)
	server := http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.URL.Path
		if strings.HasSuffix(r.URL.Path, "refused") {
			http.Error(w, "not without gilgul.faults=1", http.StatusForbidden)
		}
	})}
	defer server.Close()
	go func() { _ = server.Serve(listener) }()
	if err := run(t.Context(), []string{"fault", "panic-netguard"}, io.Discard); err != nil {
		t.Error(err)
	}
	if got := <-asked; got != "POST /v1/faults/panic-netguard" {
		t.Errorf("asked %q", got)
	}
	if err := run(t.Context(), []string{"fault", "refused"}, io.Discard); err == nil || !strings.Contains(err.Error(), "not without") {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNotUnderstoodIsSaid(t *testing.T) {
	for _, words := range [][]string{nil, {"up"}, {"up", "eth0", "often"}, {"crowd", "0"}, {"storm", "1"}} {
		if err := run(t.Context(), words, io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", words, err)
		}
	}
}
