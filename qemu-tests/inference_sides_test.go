package qemutests

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"runa/services/rmp"
	"runa/services/splinter"
)

// setting is with what an inference server is started; both sides get the same.
type setting struct {
	model    string // path of the GGUF file
	threads  int
	parallel int // conversations at once
	context  int // tokens of each
	flags    []string
}

// query is what a server is asked. Everything is answered with temperature 0
// and goes on behind the end of a text, so that all answers are as long as asked.
type query struct {
	prompt       string
	tokens       int
	conversation string // that splinfer keeps; empty: none
	each         func() // is called as each token comes; nil: they may come all at once
}

// reply is what came of a query.
type reply struct {
	read, cached, wrote int // tokens: of the prompt, of these known before, of the answer
}

// server is splinfer or llama-server while it runs.
type server struct {
	name    string
	process *exec.Cmd
	said    *lockedBuffer
	loading time.Duration // from its start until it could answer
	ask     func(context.Context, query) (reply, error)
}

// must asks and wants a whole answer.
func (s *server) must(b *testing.B, q query) reply {
	b.Helper()
	a, err := s.ask(b.Context(), q)
	if err == nil && a.wrote != q.tokens {
		err = fmt.Errorf("%d tokens were wanted and %d came", q.tokens, a.wrote)
	}
	if err != nil {
		b.Fatalf("ask %s: %v\nit said:\n%s", s.name, err, s.said)
	}
	return a
}

// stop ends the server in the way of a signal.
func (s *server) stop(signal syscall.Signal) {
	_ = s.process.Process.Signal(signal)
	_ = s.process.Wait()
}

// startServer runs a command and waits until ready returns; it ends with the benchmark.
func startServer(b *testing.B, name string, command *exec.Cmd, ready func(context.Context) error) *server {
	b.Helper()
	s := &server{name: name, process: command, said: &lockedBuffer{}}
	command.Stderr = s.said
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a benchmark that is broken off leaves nobody who computes
	began := time.Now()
	if err := command.Start(); err != nil {
		b.Fatalf("start %s: %v", name, err)
	}
	b.Cleanup(func() { s.stop(syscall.SIGKILL) })
	ctx, cancel := context.WithTimeout(b.Context(), 3*time.Minute)
	defer cancel()
	if err := ready(ctx); err != nil {
		b.Fatalf("start %s: %v\nit said:\n%s", name, err, s.said)
	}
	s.loading = time.Since(began)
	return s
}

// splinferHome is what outlives a splinfer: its bus and its data.
type splinferHome struct {
	bus    string
	models string
	data   string // empty: no conversation is kept
}

func newSplinferHome(b *testing.B, model string) splinferHome {
	b.Helper()
	h := splinferHome{bus: hostBus(b), models: b.TempDir(), data: filepath.Join(b.TempDir(), "data")}
	link(b, model, filepath.Join(h.models, "model.gguf"))
	return h
}

// startSplinfer runs splinfer as gilgul would: it is ready when it says so.
func startSplinfer(b *testing.B, h splinferHome, o setting) *server {
	b.Helper()
	a := FindArtefacts(b)
	args := append([]string{
		"--model", "model", "--models", h.models, "--libraries", a.LlamaDir, "--bus", h.bus, "--data", h.data,
		"--threads", strconv.Itoa(o.threads), "--ctx-size", strconv.Itoa(o.context), "--parallel", strconv.Itoa(o.parallel),
	}, o.flags...)
	command := exec.Command(filepath.Join(a.Bin, "splinfer"), args...)
	told, tells, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer told.Close()
	command.ExtraFiles = []*os.File{tells}
	command.Env = append(os.Environ(), "RUNA_NOTIFY_FD=3", "OMP_WAIT_POLICY=passive")
	s := startServer(b, "splinfer", command, func(ctx context.Context) error {
		tells.Close()
		defer context.AfterFunc(ctx, func() { told.SetReadDeadline(time.Unix(1, 0)) })()
		line, err := bufio.NewReader(told).ReadString('\n')
		if err == nil && line != "READY=1\n" {
			err = fmt.Errorf("it told %q first", line)
		}
		return err
	})
	bus, err := splinter.Open(h.bus)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { bus.Close() })
	s.ask = func(ctx context.Context, q query) (reply, error) { return askSplinfer(ctx, bus, q) }
	return s
}

// askSplinfer asks on a connection of its own, as each client does.
func askSplinfer(ctx context.Context, bus *splinter.Bus, q query) (reply, error) {
	conn, err := bus.Dial(ctx, "splinfer")
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	request, err := rmp.New(rmp.SchemaGenerate, time.Now(), [16]byte{}, 1, rmp.Generate{
		Prompt: q.prompt, Conversation: q.conversation,
		Parameters: map[string]any{"n-predict": q.tokens, "temp": 0, "ignore-eos": true},
	})
	if err != nil {
		return reply{}, err
	}
	if err := conn.Send(ctx, request); err != nil {
		return reply{}, err
	}
	for {
		frame, err := conn.Receive(ctx)
		if err != nil {
			return reply{}, err
		}
		switch frame.SchemaID {
		case rmp.SchemaToken:
			if q.each != nil {
				q.each()
			}
		case rmp.SchemaQueued, rmp.SchemaNotice:
		case rmp.SchemaDone:
			var done rmp.Done
			err := frame.Unmarshal(&done)
			return reply{read: int(done.PromptTokens), cached: int(done.CachedTokens), wrote: int(done.Tokens)}, err
		case rmp.SchemaErrorReport:
			var report rmp.Report
			return reply{}, errors.Join(frame.Unmarshal(&report), errors.New(report.Message))
		default:
			return reply{}, fmt.Errorf("splinfer answered with %s", frame.Type)
		}
	}
}

// startLlamaServer runs llama-server with as much context for each conversation
// as splinfer has. It listens on the loopback alone.
func startLlamaServer(b *testing.B, o setting) *server {
	b.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := free.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	free.Close()
	threads := strconv.Itoa(o.threads)
	args := append([]string{
		"--model", o.model, "--host", "127.0.0.1", "--port", port, "--threads", threads, "--threads-batch", threads,
		"--ctx-size", strconv.Itoa(o.context * o.parallel), "--parallel", strconv.Itoa(o.parallel),
	}, o.flags...)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	s := startServer(b, strings.Join(append([]string{"llama-server"}, o.flags...), " "), exec.Command(artefact(b, "RUNA_LLAMA_SERVER"), args...),
		func(ctx context.Context) error { return awaitHealth(ctx, client, "http://"+address+"/health") })
	s.ask = func(ctx context.Context, q query) (reply, error) {
		return askLlamaServer(ctx, client, "http://"+address+"/completion", q)
	}
	return s
}

// awaitHealth waits until llama-server says that it can answer.
func awaitHealth(ctx context.Context, client *http.Client, url string) error {
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if response, err := client.Do(request); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// askLlamaServer asks for tokens as they are made only if somebody looks at each:
// all at once is less work for it.
func askLlamaServer(ctx context.Context, client *http.Client, url string, q query) (reply, error) {
	body, err := json.Marshal(map[string]any{
		"prompt": q.prompt, "n_predict": q.tokens, "temperature": 0, "ignore_eos": true, "stream": q.each != nil,
	})
	if err != nil {
		return reply{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	for {
		line, err := lines.ReadBytes('\n')
		line = bytes.TrimPrefix(bytes.TrimSpace(line), []byte("data: "))
		if len(line) > 0 && line[0] != ':' { // a comment only keeps the connection alive
			var said struct {
				Stop      bool `json:"stop"`
				Evaluated int  `json:"tokens_evaluated"`
				Predicted int  `json:"tokens_predicted"`
				Cached    int  `json:"tokens_cached"`
				Error     any  `json:"error"`
			}
			if err := json.Unmarshal(line, &said); err != nil || said.Error != nil {
				return reply{}, fmt.Errorf("llama-server answered %.300s", line)
			}
			if said.Stop {
				return reply{read: said.Evaluated, cached: said.Cached, wrote: said.Predicted}, nil
			}
			if q.each != nil {
				q.each()
			}
		}
		if err != nil {
			return reply{}, fmt.Errorf("llama-server's answer broke off: %w", err)
		}
	}
}
