package hook

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"runa/services/rmp"
)

// Bounds of what is asked; a longer prompt than fits can't be judged and so not answered.
const (
	maxName   = 1 << 10 // bytes of Conversation or Persona
	maxPrompt = rmp.MaxBody - 16<<10
)

// beginning puts an answer's prompt into a message.
func beginning(a Answer) (rmp.HookBegin, error) {
	m := rmp.HookBegin{Conversation: a.Conversation, Persona: a.Persona}
	if len(a.Conversation) > maxName || len(a.Persona) > maxName {
		return m, fmt.Errorf("a name is longer than %d bytes", maxName)
	}
	if len(a.Prompt) > maxPrompt/8 {
		return m, fmt.Errorf("a prompt of %d tokens is too long to be judged", len(a.Prompt))
	}
	m.Prompt = make([]byte, 0, 4*len(a.Prompt))
	m.Ends = make([]byte, 0, 4*len(a.Prompt))
	for _, token := range a.Prompt {
		if a.Piece != nil {
			m.Text = append(m.Text, a.Piece(token)...)
		}
		if len(m.Text) > maxPrompt-8*len(a.Prompt) {
			return m, fmt.Errorf("a prompt of %d tokens is too long to be judged", len(a.Prompt))
		}
		m.Prompt = binary.BigEndian.AppendUint32(m.Prompt, uint32(token))
		m.Ends = binary.BigEndian.AppendUint32(m.Ends, uint32(len(m.Text)))
	}
	return m, nil
}

// readBeginning is the other direction.
func readBeginning(frame rmp.Frame) (number uint64, a Answer, err error) {
	var m rmp.HookBegin
	if frame.Unmarshal(&m) != nil { // whose error may quote the message
		return 0, a, errors.New("its body is not that of a beginning")
	}
	if len(m.Prompt)%4 != 0 || len(m.Ends) != len(m.Prompt) {
		return 0, a, errors.New("its prompt has not as many ends as tokens")
	}
	a = Answer{Trace: frame.TraceID, Conversation: m.Conversation, Persona: m.Persona, Prompt: make([]int32, len(m.Prompt)/4)}
	last := 0
	for i := range a.Prompt {
		a.Prompt[i] = int32(binary.BigEndian.Uint32(m.Prompt[4*i:]))
		end := int(binary.BigEndian.Uint32(m.Ends[4*i:]))
		if end < last || end > len(m.Text) {
			return 0, a, errors.New("its tokens end where they can't")
		}
		last = end
	}
	pieces := sync.OnceValue(func() map[int32][]byte { return piecesOf(a.Prompt, m) })
	a.Piece = func(token int32) []byte { return pieces()[token] }
	return m.Answer, a, nil
}

func piecesOf(prompt []int32, m rmp.HookBegin) map[int32][]byte {
	pieces := make(map[int32][]byte, len(prompt)/2)
	start := uint32(0)
	for i, token := range prompt {
		end := binary.BigEndian.Uint32(m.Ends[4*i:])
		pieces[token] = m.Text[start:end:end]
		start = end
	}
	return pieces
}

func readToken(frame rmp.Frame) (number uint64, t Token, err error) {
	var m rmp.HookToken
	if frame.Unmarshal(&m) != nil {
		return 0, t, errors.New("its body is not that of a token")
	}
	return m.Answer, Token{Index: int(m.Index), ID: m.ID, Piece: m.Piece, Text: m.Text, LogProb: m.LogProb}, nil
}

// words are the actions as messages name them.
var words = [...]string{
	Allow: rmp.HookAllow, BiasNext: rmp.HookBias, Whisper: rmp.HookWhisper,
	Mask: rmp.HookMask, Hold: rmp.HookHold, Stop: rmp.HookStop,
}

// verdictMessage puts a sound verdict into a message.
func verdictMessage(number uint64, index int64, v Verdict) rmp.HookVerdict {
	m := rmp.HookVerdict{Answer: number, Index: index, Action: words[v.Action], Rule: v.Rule}
	switch v.Action {
	case Mask:
		m.Mask = int64(v.Mask)
	case Stop, Whisper:
		m.Text = v.Text
	case BiasNext:
		for _, b := range v.Bias {
			m.Bias = append(m.Bias, rmp.HookWeight{Token: int64(b.Token), Bias: b.Bias})
		}
	}
	return m
}

// readVerdict reads what a judge sent. What can't be meant is an error.
func readVerdict(frame rmp.Frame) (number uint64, index int64, v Verdict, err error) {
	var m rmp.HookVerdict
	if frame.Unmarshal(&m) != nil {
		return 0, 0, v, errors.New("its body is not that of a verdict")
	}
	action := slices.Index(words[:], m.Action)
	if action < 0 {
		return 0, 0, v, errors.New("its action is not known")
	}
	if m.Mask < 0 || m.Mask > math.MaxInt32 {
		return 0, 0, v, errors.New("mask: no such token")
	}
	v = Verdict{Action: Action(action), Mask: int32(m.Mask), Text: m.Text, Rule: m.Rule}
	for _, b := range m.Bias {
		if b.Token < 0 || b.Token > math.MaxInt32 {
			return 0, 0, v, errors.New("bias: no such token")
		}
		v.Bias = append(v.Bias, Bias{Token: int32(b.Token), Bias: b.Bias})
	}
	if m.Index == rmp.HookPrompt && v.Action == Mask {
		return 0, 0, v, errors.New("mask: there is no token yet")
	}
	return m.Answer, m.Index, v, v.Check(anyVocabulary)
}
