package hook

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/vmihailenco/msgpack/v5"

	"runa/services/rmp"
	"runa/services/rmp/rmptest"
)

// The scripts of the fuzz tests: one byte says what happens, and what needs more
// takes it from what follows.

type script []byte

func (s *script) byte() byte {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return b
}

func (s *script) bytes() []byte {
	n := min(int(s.byte()), len(*s))
	b := (*s)[:n]
	*s = (*s)[n:]
	return b
}

// frame is one of the hook's messages: with a body of any bytes, or one that may be right.
func (s *script) frame() rmp.Frame {
	schema := rmp.SchemaHookBegin + uint16(s.byte())%5
	row, _ := rmp.LookupSchema(schema)
	f := rmp.Frame{Header: rmp.Header{SchemaID: schema, TTLMs: 1}, Type: row.Type}
	number, index := uint64(s.byte()%4), int64(int8(s.byte()))
	var err error
	switch how := s.byte(); {
	case how < 64:
		f.Payload = msgpack.RawMessage(s.bytes())
	case schema == rmp.SchemaHookBegin:
		f.Payload, err = rmp.Marshal(rmp.HookBegin{Answer: number, Prompt: s.bytes(), Ends: s.bytes(), Text: s.bytes()})
	case schema == rmp.SchemaHookToken:
		f.Payload, err = rmp.Marshal(rmp.HookToken{Answer: number, Index: uint32(index), Piece: s.bytes()})
	case schema == rmp.SchemaHookVerdict:
		action := words[s.byte()%uint8(len(words))]
		f.Payload, err = rmp.Marshal(rmp.HookVerdict{Answer: number, Index: index, Action: action, Mask: index, Text: string(s.bytes()), Rule: string(s.bytes())})
	default:
		f.Payload, err = rmp.Marshal(rmp.HookEnd{Answer: number})
	}
	if err != nil {
		panic(err)
	}
	return f
}

// model is what a test knows of one answer: whether a verdict on index is owed.
type model struct {
	session     Session
	owed, ended bool
	index       int64
}

// take looks that what stands at Later is one sound verdict that is owed, or the end.
func (m *model) take(t *testing.T, lost bool) {
	select {
	case v, ok := <-m.session.Later():
		switch {
		case !ok && !m.ended && !errors.Is(Cause(m.session), ErrGone):
			t.Fatal("later is closed without a cause")
		case !ok:
			m.ended = true
		case !m.owed:
			t.Fatal("a verdict came that was not owed")
		case v.Action == Hold || v.Check(anyVocabulary) != nil || m.index == rmp.HookPrompt && v.Action == Mask:
			t.Fatalf("the verdict %v came", v.Action)
		}
		m.owed = false
	default:
		if lost && !m.ended {
			t.Fatal("the line is lost and an answer still waits")
		}
	}
}

// FuzzJudge: whatever a judge says, nothing panics, a token gets at most one
// verdict and that a sound one, and after nonsense every answer ends.
func FuzzJudge(f *testing.F) {
	verdict := func(number, index, action byte) []byte { return []byte{2, 2, number, index, 64, action, 0, 0} }
	f.Add(append(append([]byte{0, 1, 1}, verdict(1, 0xff, 0)...), append([]byte{3, 1, 9}, verdict(1, 9, 4)...)...))
	f.Add(append(append([]byte{0, 0, 4, 1}, verdict(1, 0xff, 4)...), verdict(1, 0xff, 1)...))
	f.Add([]byte{0, 2, 3, 1, 0, 64, 2, 2, 1, 0xff, 0, 3, 0x81, 0xa1, 'a'})
	f.Fuzz(func(t *testing.T, input []byte) {
		synctest.Test(t, func(t *testing.T) { judgeScript(t, input) })
	})
}

func judgeScript(t *testing.T, input []byte) {
	asker, judge := rmptest.Wires(64)
	defer asker.Close()
	go func() { // the judge hears everything
		for {
			if _, err := judge.Receive(context.Background()); err != nil {
				return
			}
		}
	}()
	l := newLine(asker, Options{Patience: 1 << 40, Now: fixedTime})
	var answers []*model
	for s := script(input); len(s) > 0; {
		switch s.byte() % 5 {
		case 0:
			if a, err := l.begin([16]byte{}, rmp.HookBegin{}); err == nil {
				answers = append(answers, &model{session: a, owed: true, index: rmp.HookPrompt})
			} else if !errors.Is(err, ErrGone) {
				t.Fatal(err)
			}
		case 1, 2:
			select {
			case <-judge.Done():
			default:
				if judge.Send(context.Background(), s.frame()) != nil {
					return
				}
			}
		case 3:
			if m := pick(answers, s.byte()); m != nil {
				m.ask(t, int(s.byte()))
			}
		case 4:
			if m := pick(answers, s.byte()); m != nil {
				m.session.End("cancel")
				m.ended = true
			}
		}
		synctest.Wait()
		for _, m := range answers {
			m.take(t, !l.there())
		}
	}
}

func pick(answers []*model, n byte) *model {
	if len(answers) == 0 {
		return nil
	}
	return answers[int(n)%len(answers)]
}

func (m *model) ask(t *testing.T, index int) {
	v, decided := m.session.Judge(Token{Index: index})
	switch {
	case decided && (v.Action != Stop || !m.owed):
		t.Fatalf("%v at once, while a verdict was owed: %v", v.Action, m.owed)
	case !decided && !m.ended:
		m.owed, m.index = true, int64(index)
	}
}

// FuzzServe: whatever an asker says, Serve ends without a panic, and its sessions end once.
func FuzzServe(f *testing.F) {
	f.Add([]byte{0, 1, 0, 64, 4, 0, 0, 0, 7, 4, 0, 0, 0, 1, 1, 'a', 1, 1, 3, 64, 1, 'b', 3, 1, 0, 64})
	f.Add(binary.BigEndian.AppendUint64(nil, 1<<40))
	f.Fuzz(func(t *testing.T, input []byte) {
		synctest.Test(t, func(t *testing.T) {
			asker, judge := rmptest.Wires(64)
			counting := &counting{}
			ended := make(chan error, 1)
			go func() { ended <- Serve(context.Background(), judge, counting) }()
			for s := script(input); len(s) > 0; {
				if asker.Send(context.Background(), s.frame()) != nil {
					break
				}
				synctest.Wait()
				for asker.Waiting() > 0 {
					f, err := asker.Receive(context.Background())
					must(t, err)
					if f.SchemaID != rmp.SchemaHookVerdict && f.SchemaID != rmp.SchemaHookEnd {
						t.Fatalf("it said %s", f.Type)
					}
					if _, _, _, err := readVerdict(f); f.SchemaID == rmp.SchemaHookVerdict && err != nil {
						t.Fatal(err)
					}
				}
			}
			asker.Close()
			<-ended
			if counting.begun != counting.ended {
				t.Fatalf("%d sessions began and %d ended", counting.begun, counting.ended)
			}
		})
	})
}

// counting judges by the token's bytes, and counts its sessions.
type counting struct{ begun, ended int }

func (c *counting) Begin(a Answer) (Session, Verdict, error) {
	for _, id := range a.Prompt {
		_ = append([]byte(nil), a.Piece(id)...)
	}
	if len(a.Prompt) > 3 {
		return nil, Verdict{}, ErrGone
	}
	c.begun++
	return &countingSession{c, make(chan Verdict, 1)}, Verdict{}, nil
}

type countingSession struct {
	*counting
	later chan Verdict
}

func (c *countingSession) Judge(t Token) (Verdict, bool) {
	if len(t.Piece) == 0 {
		return Verdict{}, true
	}
	v := wanted[int(t.Piece[0])%len(wanted)]
	if len(t.Piece)%2 == 0 {
		return v, v.Action != Hold
	}
	c.later <- v
	return Verdict{}, false
}

func (c *countingSession) Later() <-chan Verdict { return c.later }
func (c *countingSession) End(string)            { c.ended++ }
