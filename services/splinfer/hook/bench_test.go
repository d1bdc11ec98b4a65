package hook

import (
	"fmt"
	"testing"
	"time"

	"runa/services/rmp"
)

func perToken(b *testing.B, h Hook) {
	s := begun(b, h, Answer{}, Allow)
	defer s.End("stop")
	token := Token{ID: 7, Piece: []byte(" the"), Text: " the", LogProb: -1}
	b.ReportAllocs()
	for b.Loop() {
		token.Index++
		v, decided := s.Judge(token)
		if !decided {
			v = <-s.Later()
		}
		if v.Action != Allow {
			b.Fatal(v.Action)
		}
	}
}

func allow(Token) Verdict { return Verdict{} }

// BenchmarkToken is what one token costs its answer.
func BenchmarkToken(b *testing.B) {
	b.Run("empty", func(b *testing.B) { perToken(b, Empty()) })
	b.Run("func", func(b *testing.B) { perToken(b, Func(allow)) })
	b.Run("chain of 3", func(b *testing.B) { perToken(b, Chain(Func(allow), Func(allow), Func(allow))) })
	b.Run("sidecar", func(b *testing.B) {
		bus, h := onBus(b)
		startJudge(b, bus)
		perToken(b, h)
	})
	b.Run("anchor: bus alone", busAlone)
}

// busAlone is a frame as long as a token's, there and back, with nothing done to it.
func busAlone(b *testing.B) {
	bus, _ := onBus(b)
	startJudge(b, bus)
	conn, err := bus.Dial(b.Context(), echoListener)
	must(b, err)
	defer conn.Close()
	frame, err := rmp.New(rmp.SchemaHookToken, time.Now(), [16]byte{}, 1, rmp.HookToken{Answer: 1, Piece: []byte(" the"), Text: " the"})
	must(b, err)
	for b.Loop() {
		must(b, conn.Send(b.Context(), frame))
		_, err := conn.Receive(b.Context())
		must(b, err)
	}
}

// BenchmarkSidecarAnswers is what one token costs when so many answers are
// judged at once, as in a batch.
func BenchmarkSidecarAnswers(b *testing.B) {
	for _, n := range []int{1, 8, 32} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			bus, h := onBus(b)
			startJudge(b, bus)
			var sessions []Session
			for range n {
				sessions = append(sessions, begun(b, h, Answer{}, Allow))
			}
			for i := 0; b.Loop(); i++ {
				for _, s := range sessions {
					s.Judge(Token{Index: i, Piece: []byte(" the"), Text: " the"})
				}
				for _, s := range sessions {
					later(b, s)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/token")
			for _, s := range sessions {
				s.End("stop")
			}
		})
	}
}

// BenchmarkJudgeCall is the part of a sidecar's token that the computing goroutine pays.
func BenchmarkJudgeCall(b *testing.B) {
	bus, h := onBus(b)
	startJudge(b, bus)
	s := begun(b, h, Answer{}, Allow)
	var paid time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		s.Judge(Token{Index: i, Piece: []byte(" the"), Text: " the"})
		paid += time.Since(began)
		later(b, s)
	}
	b.ReportMetric(float64(paid.Nanoseconds())/float64(b.N), "ns/call")
	s.End("stop")
}
