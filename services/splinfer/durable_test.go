package splinfer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"runa/services/gguf/tiny"
	"runa/services/rmp"
	"runa/services/splinfer/hook"
)

// tinyOptions are for a model of random weights: llama, rwkv7 and so on.
func tinyOptions(t testing.TB, model func(io.Writer, uint64, ...tiny.Option) error) Options {
	t.Helper()
	o := testOptions(t)
	o.Models = t.TempDir()
	var out bytes.Buffer
	if err := model(&out, 7, tiny.Context(512)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.Models, "tiny.gguf"), out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Context = 512
	o.Conversations = filepath.Join(t.TempDir(), "conversations")
	return o
}

func ids(tokens []rmp.Token) (all []int32) {
	for _, t := range tokens {
		all = append(all, t.ID)
	}
	return all
}

// say is one turn of a conversation: always the same many tokens.
func say(conversation, prompt string, tokens int) rmp.Generate {
	return rmp.Generate{
		Conversation: conversation, Prompt: prompt,
		Parameters: map[string]any{"n-predict": tokens, "ignore-eos": true, "temp": 0.9, "seed": 11, "repeat-penalty": 1.2},
	}
}

// turns are what is said one after another in the tests below.
var turns = []string{"Tell me a story of a cat and a dog", "And then?", "!", "How does it end, and who is there?"}

// alone is what a conversation answers that nothing disturbs.
func alone(t *testing.T, o Options) (answers [][]int32) {
	t.Helper()
	o.Conversations = filepath.Join(t.TempDir(), "alone")
	o.Parallel = 1
	conn := start(t, o).connect()
	for _, text := range turns {
		a := ask(t, conn, say("a", text, 20))
		if len(a.tokens) != 20 {
			t.Fatalf("got %+v", a)
		}
		answers = append(answers, ids(a.tokens))
	}
	return answers
}

var models = map[string]func(io.Writer, uint64, ...tiny.Option) error{"llama": tiny.Llama, "rwkv6": tiny.RWKV6, "rwkv7": tiny.RWKV7}

func TestAConversationSaysTheSameAfterEvictionAndRestart(t *testing.T) {
	for name, model := range models {
		t.Run(name, func(t *testing.T) {
			o := tinyOptions(t, model)
			want := alone(t, o)
			o.Parallel = 1 // whoever else speaks takes the only seat
			r := start(t, o)
			for i, text := range turns {
				if i == 2 { // a restart in peace
					if err := r.stop(); err != nil {
						t.Fatal(err)
					}
					r = start(t, o)
				}
				conn := r.connect()
				a := ask(t, conn, say("a", text, 20))
				if got := ids(a.tokens); !slices.Equal(got, want[i]) {
					t.Fatalf("turn %d: got %v, %+v, want %v", i, got, a.report, want[i])
				}
				if i > 0 && a.done.CachedTokens == 0 {
					t.Errorf("turn %d read the conversation again", i)
				}
				if b := ask(t, conn, say("b", text, 5)); len(b.tokens) != 5 {
					t.Fatalf("the other: %+v", b)
				}
			}
		})
	}
}

func TestAConversationWithoutItsStateIsReadAgainTheSame(t *testing.T) {
	for name, model := range models {
		t.Run(name, func(t *testing.T) {
			o := tinyOptions(t, model)
			want := alone(t, o)
			for i, text := range turns {
				r := start(t, o)
				a := ask(t, r.connect(), say("a", text, 20))
				if got := ids(a.tokens); !slices.Equal(got, want[i]) || a.done.CachedTokens != 0 {
					t.Fatalf("turn %d: got %v, %+v, want %v", i, got, a.done, want[i])
				}
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
				states, err := filepath.Glob(filepath.Join(o.Conversations, "*.state"))
				if err != nil || len(states) == 0 {
					t.Fatalf("no state was saved: %v", err)
				}
				for _, path := range states {
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// copyFolder copies the journals: what would be there had the process died now. It
// is called by the computing goroutine, which alone writes them.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	journals, err := filepath.Glob(filepath.Join(from, "*.journal"))
	if err == nil {
		err = os.MkdirAll(to, 0o700)
	}
	for _, path := range journals {
		var content []byte
		if err == nil {
			content, err = os.ReadFile(path)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Base(path)), content, 0o600)
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// The journal is what the process wrote until the token of a death. That no state
// is beside it makes the next life read all of it again.
func TestAnAnswerGoesOnAfterADeathAtAnyToken(t *testing.T) {
	for name, model := range models {
		for _, mirostat := range []int{0, 2} {
			t.Run(fmt.Sprintf("%s, mirostat %d", name, mirostat), func(t *testing.T) {
				o := tinyOptions(t, model)
				question := say("a", turns[0], 12)
				question.Parameters["mirostat"] = mirostat
				second := say("a", turns[1], 12)
				second.Parameters["mirostat"] = mirostat
				folders := make([]string, 12)
				count := 0
				o.Hook = hook.Func(func(token hook.Token) hook.Verdict {
					if count++; count > 12 {
						folders[token.Index] = filepath.Join(t.TempDir(), "copy")
						copyFolder(t, o.Conversations, folders[token.Index])
					}
					return hook.Verdict{}
				})
				r := start(t, o)
				conn := r.connect()
				first := ask(t, conn, question)
				want := ask(t, conn, second)
				if len(first.tokens) != 12 || len(want.tokens) != 12 {
					t.Fatalf("got %+v, %+v", first, want)
				}
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
				o.Hook = nil
				for died, folder := range folders {
					if died%3 == 2 {
						continue
					}
					o.Conversations = folder
					r := start(t, o)
					conn := r.connect()
					if list := conversations(t, conn); len(list) != 1 || !list[0].Unfinished {
						t.Fatalf("after a death at token %d: %+v", died, list)
					}
					from := died / 2
					if err := conn.Send(t.Context(), request(t, rmp.SchemaGenerate, rmp.Generate{Conversation: "a", From: uint32(from)})); err != nil {
						t.Fatal(err)
					}
					a := collectFrom(t, conn, from)
					if !slices.Equal(ids(a.tokens), ids(want.tokens)[from:]) || a.done.Reason != rmp.ReasonLength {
						t.Fatalf("after a death at token %d: got %v, %+v %+v, want %v", died, ids(a.tokens), a.done, a.report, ids(want.tokens)[from:])
					}
					if list := conversations(t, conn); len(list) != 1 || list[0].Unfinished {
						t.Fatalf("after it was gone on with: %+v", list)
					}
					if err := r.stop(); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

func conversations(t *testing.T, conn connection) []rmp.Conversation {
	t.Helper()
	if err := conn.Send(t.Context(), request(t, rmp.SchemaConversationsRequest, rmp.ConversationsRequest{})); err != nil {
		t.Fatal(err)
	}
	frame, err := conn.Receive(t.Context())
	var list rmp.Conversations
	if err == nil {
		err = frame.Unmarshal(&list)
	}
	if err != nil {
		t.Fatal(err)
	}
	return list.Conversations
}

func TestManyAtOnceSayWhatEachSaysAlone(t *testing.T) {
	o := tinyOptions(t, tiny.Llama)
	const n = 8
	texts := make([]string, n)
	for i := range texts {
		texts[i] = strings.Repeat(fmt.Sprintf("Number %d says something else. ", i), i+1)
	}
	o.Parallel = 1
	want := make([][]int32, n)
	conn := start(t, o).connect()
	for i, text := range texts {
		g := say("", text, 30+3*i)
		g.Parameters["temp"] = 0
		want[i] = ids(ask(t, conn, g).tokens)
	}
	o.Parallel, o.Conversations = n, ""
	release, arrived := make(chan struct{}), make(chan struct{}, n)
	r := start(t, o)
	answers := make(chan answeredAs, n)
	for i, text := range texts {
		conn := r.connect()
		go func() {
			g := say("", text, 30+3*i)
			g.Parameters["temp"] = 0
			arrived <- struct{}{}
			<-release
			answers <- answeredAs{i, ask(t, conn, g)}
		}()
	}
	for range n {
		<-arrived
	}
	close(release)
	for range n {
		a := <-answers
		if !slices.Equal(ids(a.tokens), want[a.number]) {
			t.Errorf("%d: got %v, %+v, want %v", a.number, ids(a.tokens), a.report, want[a.number])
		}
	}
}

type answeredAs struct {
	number int
	answered
}

func TestASharedBeginningIsReadOnceAndChangesNothing(t *testing.T) {
	o := tinyOptions(t, tiny.Llama)
	o.Parallel = 3
	system := strings.Repeat("You are kind and answer in short words. ", 6)
	texts := []string{system + "Who are you?", system + "What is a cat?", system + "W", system}
	var want [][]int32
	for _, text := range texts {
		conn := start(t, o).connect()
		want = append(want, ids(ask(t, conn, say("", text, 15)).tokens))
		o.Conversations = t.TempDir()
	}
	conn := start(t, o).connect()
	for round := range 2 {
		for i, text := range texts {
			a := ask(t, conn, say("", text, 15))
			if got := ids(a.tokens); !slices.Equal(got, want[i]) {
				t.Errorf("text %d: got %v, want %v", i, got, want[i])
			}
			if (round > 0 || i > 0) && a.done.CachedTokens < 100 {
				t.Errorf("text %d: %+v", i, a.done)
			}
		}
	}
}

func TestTwoRequestsForOneConversationAreNotMixed(t *testing.T) {
	o := tinyOptions(t, tiny.Llama)
	reached, release := make(chan struct{}), make(chan struct{})
	first := true
	o.Hook = hook.Func(func(hook.Token) hook.Verdict {
		if first {
			first = false
			close(reached)
			<-release
		}
		return hook.Verdict{}
	})
	r := start(t, o)
	one := r.connect()
	ended := make(chan answered, 1)
	go func() { ended <- ask(t, one, say("a", "Hello", 5)) }()
	<-reached
	two := r.connect()
	if err := two.Send(t.Context(), request(t, rmp.SchemaGenerate, say("a", "Hello too", 5))); err != nil {
		t.Fatal(err)
	}
	r.waitForQueue(1)
	close(release)
	if a := collect(t, two); a.report.Code != rmp.CodeConversationBusy && len(a.tokens) != 5 {
		t.Errorf("the second: %+v", a)
	}
	if a := <-ended; len(a.tokens) != 5 {
		t.Errorf("the first: %+v", a)
	}
}

func TestAConversationCanBeDeleted(t *testing.T) {
	o := tinyOptions(t, tiny.Llama)
	conn := start(t, o).connect()
	if a := ask(t, conn, say("a", "Hello", 5)); len(a.tokens) != 5 {
		t.Fatalf("got %+v", a)
	}
	if err := conn.Send(t.Context(), request(t, rmp.SchemaConversationsRequest, rmp.ConversationsRequest{Remove: "a"})); err != nil {
		t.Fatal(err)
	}
	frame, err := conn.Receive(t.Context())
	if err != nil || frame.SchemaID != rmp.SchemaConversations {
		t.Fatalf("%+v, %v", frame.Type, err)
	}
	left, err := filepath.Glob(filepath.Join(o.Conversations, "a.*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if a := ask(t, conn, say("a", "Hello", 5)); len(a.tokens) != 5 || a.done.CachedTokens != 0 {
		t.Errorf("afterwards: %+v", a)
	}
}

func TestARecurrentModelsMemoryIsConstant(t *testing.T) {
	o := tinyOptions(t, tiny.RWKV7)
	r := start(t, o)
	conn := r.connect()
	var sizes []int64
	for range 3 {
		if a := ask(t, conn, say("a", "Tell me more of it, please", 60)); len(a.tokens) != 60 {
			t.Fatalf("got %+v", a)
		}
		info := waitForState(t, o.Conversations)
		sizes = append(sizes, info)
	}
	// A state also has the conversation's tokens, four bytes each.
	if grown := sizes[2] - sizes[0]; grown > 4*200 {
		t.Errorf("the state grew with the conversation: %v", sizes)
	}
}

// waitForState returns how large the newest saved state is once it is there.
func waitForState(t *testing.T, folder string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if info, err := os.Stat(filepath.Join(folder, "a.state")); err == nil {
			return info.Size()
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("no state is saved")
	return 0
}
