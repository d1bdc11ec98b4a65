package runa_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"runa/services/rmp"
	"runa/services/splinter"
)

// peer is the other side of splinfer's protocol, by script. Each request takes
// steps up to the one that ends an answer:
//
//	word:TEXT               a token
//	done                    the end of an answer
//	fail:CODE|MESSAGE|HINT  an error report
//	models:NAME             the list of models, NAME the default
//	die                     the process is killed, as by kill -9
//	hang                    nothing more until the asker goes away
//
// What it was asked is appended to requests as lines of JSON, a request given
// up by its asker as the line "cancelled".
type peer struct {
	bus      *splinter.Bus
	listener *splinter.Listener
	steps    []string
	requests io.Writer
	sent     uint64
}

func peerProgram() {
	requests, err := os.OpenFile(os.Getenv("WORK")+"/requests", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		var p *peer
		if p, err = newPeer(os.Getenv("RUNA_BUS"), os.Args[1:], requests); err == nil {
			err = p.serve(context.Background())
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

// newPeer listens and then says that the model is ready, as splinfer does.
func newPeer(path string, steps []string, requests io.Writer) (*peer, error) {
	bus, err := splinter.Open(path)
	if err != nil {
		return nil, err
	}
	p := &peer{bus: bus, steps: steps, requests: requests}
	if p.listener, err = bus.Listen("splinfer"); err != nil {
		return nil, err
	}
	return p, bus.Set("service/splinfer/model", []byte("testmodel"))
}

// serve takes connections until the steps are used up.
func (p *peer) serve(ctx context.Context) error {
	defer p.bus.Close()
	defer p.listener.Close()
	for len(p.steps) > 0 {
		connection, err := p.listener.Accept(ctx)
		if err != nil {
			return err
		}
		err = p.answer(ctx, connection)
		if err == nil {
			<-connection.Done() // what was sent is read before this side closes
		}
		connection.Close()
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, splinter.ErrClosed) {
			return err
		}
	}
	return nil
}

func (p *peer) answer(ctx context.Context, connection *splinter.Conn) error {
	frame, err := connection.Receive(ctx)
	if err != nil {
		return err
	}
	var request rmp.Generate
	if err := frame.Unmarshal(&request); err != nil {
		return err
	}
	if err := json.NewEncoder(p.requests).Encode(request); err != nil {
		return err
	}
	for index := uint32(0); ; index++ {
		step, argument, _ := strings.Cut(p.steps[0], ":")
		p.steps = p.steps[1:]
		if step == "word" {
			if err := p.send(ctx, connection, rmp.SchemaToken, rmp.Token{Index: index, Text: argument}); err != nil {
				return err
			}
			continue
		}
		return p.end(ctx, connection, step, argument)
	}
}

func (p *peer) end(ctx context.Context, connection *splinter.Conn, step, argument string) error {
	switch step {
	case "done":
		return p.send(ctx, connection, rmp.SchemaDone, rmp.Done{Reason: rmp.ReasonStop})
	case "fail":
		parts := strings.SplitN(argument, "|", 3)
		return p.send(ctx, connection, rmp.SchemaErrorReport, rmp.Report{Code: parts[0], Message: parts[1], Hint: parts[2]})
	case "models":
		return p.send(ctx, connection, rmp.SchemaModels, rmp.Models{Default: argument, Models: []rmp.Model{
			{Name: argument, Architecture: "llama", Bytes: 16900000, ContextTrain: 256, Loaded: true},
			{Name: "cut", Bytes: 1000, Problem: "file ends in tensor 3"},
		}})
	case "die":
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "hang":
		<-connection.Done()
		_, err := fmt.Fprintln(p.requests, "cancelled")
		return err
	}
	return fmt.Errorf("no such step: %s", step)
}

func (p *peer) send(ctx context.Context, connection *splinter.Conn, schema uint16, payload any) error {
	p.sent++
	frame, err := rmp.New(schema, time.Now(), [16]byte{1}, p.sent, payload)
	if err != nil {
		return err
	}
	return connection.Send(ctx, frame)
}
