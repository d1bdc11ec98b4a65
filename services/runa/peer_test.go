package runa_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
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
//	top:TEXT|LIKELY|LESS    a token of probability 1/2 and the two likeliest, of 1/2 and 1/16
//	queued:POSITION         how many wait
//	notice:CODE|TEXT        a remark
//	progress:PART|TEXT      how far a long action is
//	done, done:REASON       the end of an answer
//	renewed                 what comes of an answer as splinfer is stopped and started
//	held:TEXT               the end of an answer whose last words were held back
//	fail:CODE|MESSAGE|HINT  an error report
//	models:NAME             the list of models, NAME the default
//	stats                   how busy it is
//	die                     the process is killed, as by kill -9
//	hang                    nothing more until the asker goes away
//
// Conversations it keeps like splinfer, so a question for them takes no step: those
// that the step kept:NAME or kept:NAME! (an interrupted one) names, the newest
// last, and those that it was asked to go on with. What it was asked is appended to
// requests as lines of JSON, a request given up by its asker as the line "cancelled".
type peer struct {
	bus      *splinter.Bus
	listener *splinter.Listener
	steps    []string
	requests io.Writer
	sent     uint64
	kept     []rmp.Conversation
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
	p := &peer{bus: bus, requests: requests}
	for _, step := range steps {
		if name, found := strings.CutPrefix(step, "kept:"); found {
			name, unfinished := strings.CutSuffix(name, "!")
			p.keep(name, unfinished)
		} else {
			p.steps = append(p.steps, step)
		}
	}
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
		connection.Close()
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, splinter.ErrClosed) {
			return err
		}
	}
	return nil
}

// answer answers the requests of one connection until its other side closes it.
func (p *peer) answer(ctx context.Context, connection *splinter.Conn) error {
	for {
		frame, err := connection.Receive(ctx)
		if err != nil {
			return err
		}
		answer := p.follow
		if frame.SchemaID == rmp.SchemaConversationsRequest {
			answer = p.conversations
		}
		if err := answer(ctx, connection, frame); err != nil {
			return err
		}
	}
}

// follow takes steps for one request.
func (p *peer) follow(ctx context.Context, connection *splinter.Conn, frame rmp.Frame) error {
	var request rmp.Generate
	var asked any = &request
	if frame.SchemaID == rmp.SchemaModelAction {
		asked = &rmp.ModelAction{}
	}
	if err := frame.Unmarshal(asked); err != nil {
		return err
	}
	if err := json.NewEncoder(p.requests).Encode(asked); err != nil {
		return err
	}
	for index := request.From; len(p.steps) > 0; {
		step, argument, _ := strings.Cut(p.steps[0], ":")
		p.steps = p.steps[1:]
		message, schema := interim(step, argument, index)
		if message == nil {
			if request.Conversation != "" && step != "fail" {
				p.keep(request.Conversation, step != "done")
			}
			return p.end(ctx, connection, step, argument)
		}
		if schema == rmp.SchemaToken {
			index++
		}
		if err := p.send(ctx, connection, schema, message); err != nil {
			return err
		}
	}
	return errors.New("asked more than there are steps for")
}

// interim is what comes before the end of an answer, nil if the step is an end.
func interim(step, argument string, index uint32) (message any, schema uint16) {
	first, rest, _ := strings.Cut(argument, "|")
	switch step {
	case "word":
		return rmp.Token{Index: index, Text: argument}, rmp.SchemaToken
	case "top":
		likely, less, _ := strings.Cut(rest, "|")
		half, rare := float32(math.Log(1./2)), float32(math.Log(1./16))
		return rmp.Token{Index: index, Text: first, LogProb: half, Top: []rmp.TopToken{
			{Text: likely, LogProb: half}, {Text: less, LogProb: rare},
		}}, rmp.SchemaToken
	case "queued":
		position, _ := strconv.Atoi(argument)
		return rmp.Queued{Position: uint32(position), Waiting: 7}, rmp.SchemaQueued
	case "notice":
		return rmp.Notice{Code: first, Text: rest}, rmp.SchemaNotice
	case "progress":
		part, _ := strconv.ParseFloat(first, 64)
		return rmp.Progress{Part: part, Text: rest}, rmp.SchemaProgress
	}
	return nil, 0
}

func (p *peer) end(ctx context.Context, connection *splinter.Conn, step, argument string) error {
	switch step {
	case "renewed":
		err := p.send(ctx, connection, rmp.SchemaDone, rmp.Done{Reason: rmp.ReasonCancel})
		return errors.Join(err, p.bus.Set("service/splinfer/model", []byte("testmodel")))
	case "done":
		return p.send(ctx, connection, rmp.SchemaDone, rmp.Done{Reason: cmp.Or(argument, rmp.ReasonStop)})
	case "held":
		return p.send(ctx, connection, rmp.SchemaDone, rmp.Done{Reason: rmp.ReasonStop, Text: argument})
	case "fail":
		parts := strings.SplitN(argument, "|", 3)
		return p.send(ctx, connection, rmp.SchemaErrorReport, rmp.Report{Code: parts[0], Message: parts[1], Hint: parts[2]})
	case "models":
		return p.send(ctx, connection, rmp.SchemaModels, rmp.Models{Default: argument, Models: []rmp.Model{
			{Name: argument, Architecture: "llama", Bytes: 16900000, ContextTrain: 256, Loaded: true},
			{Name: "cut", Bytes: 1000, Problem: "file ends in tensor 3"},
			{Name: "minilm", Architecture: "bert", Bytes: 25 << 20, ContextTrain: 512, EmbedsOnly: true},
			{Name: "poet", Architecture: "llama", Bytes: 1 << 20, Adapter: true},
			{Name: "world", Architecture: "rwkv7", Bytes: 190 << 20, Recurrent: true},
		}})
	case "stats":
		return p.send(ctx, connection, rmp.SchemaStats, rmp.Stats{
			Model: "tiny", Answering: 2, Seats: 4, Waiting: 3, KVTokens: 3030, KVSize: 8192, SavedBytes: 12 << 20,
			TokensPerSecond: 24.53, PrefillPerSecond: 210.2, Conversations: 5,
		})
	case "die":
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "hang":
		<-connection.Done()
		_, err := fmt.Fprintln(p.requests, "cancelled")
		return err
	}
	return fmt.Errorf("no such step: %s", step)
}

// keep makes a conversation the newest.
func (p *peer) keep(name string, unfinished bool) {
	p.kept = slices.DeleteFunc(p.kept, func(c rmp.Conversation) bool { return c.ID == name })
	p.kept = append(p.kept, rmp.Conversation{ID: name, Unfinished: unfinished, Bytes: 2048, StateBytes: 1 << 20})
	for i := range p.kept {
		p.kept[i].ModifiedMs = noon.Add(time.Duration(i) * time.Minute).UnixMilli()
	}
}

func (p *peer) conversations(ctx context.Context, connection *splinter.Conn, frame rmp.Frame) error {
	var request rmp.ConversationsRequest
	if err := frame.Unmarshal(&request); err != nil {
		return err
	}
	if request.Remove != "" {
		before := len(p.kept)
		p.kept = slices.DeleteFunc(p.kept, func(c rmp.Conversation) bool { return c.ID == request.Remove })
		if len(p.kept) == before {
			return p.send(ctx, connection, rmp.SchemaErrorReport, rmp.Report{Code: rmp.CodeConversationUnknown, Message: "there is no such conversation", Hint: "list them"})
		}
		fmt.Fprintln(p.requests, "remove", request.Remove)
	}
	return p.send(ctx, connection, rmp.SchemaConversations, rmp.Conversations{Conversations: p.kept})
}

func (p *peer) send(ctx context.Context, connection *splinter.Conn, schema uint16, payload any) error {
	p.sent++
	frame, err := rmp.New(schema, time.Now(), [16]byte{1}, p.sent, payload)
	if err != nil {
		return err
	}
	return connection.Send(ctx, frame)
}
