package splinfer

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinfer/llama"
)

// promptTokens turns a request's words into tokens. after is how many tokens the
// conversation has; at least one more must have room behind all of them.
func (l *loaded) promptTokens(g rmp.Generate, persona string, after int) ([]llama.Token, error) {
	text, err := l.promptText(g, persona, after > 0)
	if err != nil {
		return nil, err
	}
	size := l.context.Size()
	// A text far beyond the context isn't tokenised at all: that could take
	// minutes. The factor leaves room for tokenizers that drop white space.
	if least := len(text) / l.model.LongestPiece() / 4; least > size {
		return nil, tooLong(fmt.Sprintf("over %d", least), after, size)
	}
	tokens, err := l.model.Tokenize(text, after == 0, true)
	if err != nil {
		return nil, err
	}
	if after+len(tokens) >= size {
		return nil, tooLong(fmt.Sprint(len(tokens)), after, size)
	}
	if len(tokens) == 0 {
		return nil, fail(rmp.CodeParameterInvalid, errors.New("read request: the prompt has no tokens"))
	}
	return tokens, nil
}

func tooLong(tokens string, after, size int) error {
	before := ""
	if after > 0 {
		before = fmt.Sprintf(" after the conversation's %d", after)
	}
	err := fmt.Errorf("read prompt: it has %s tokens%s, the context holds %d for prompt and answer", tokens, before, size)
	return fail(rmp.CodePromptTooLong, hint.New(err, "shorten the prompt, begin a new conversation, or start splinfer with a larger --ctx-size if the model allows it"))
}

// promptText is what the model reads: the prompt as it stands, or the messages
// in the model's own form, after the persona's words where a conversation begins.
func (l *loaded) promptText(g rmp.Generate, persona string, goesOn bool) (string, error) {
	if (len(g.Messages) > 0) == (g.Prompt != "") {
		return "", fail(rmp.CodeParameterInvalid, errors.New("read request: exactly one of messages and prompt must be given"))
	}
	if g.Prompt != "" {
		return g.Prompt, checkText("prompt", g.Prompt)
	}
	var messages []llama.Message
	for i, m := range g.Messages {
		field := fmt.Sprintf("messages[%d]", i)
		if m.Role != "system" && m.Role != "user" && m.Role != "assistant" {
			err := fmt.Errorf("read request: %s.role must be system, user or assistant", field)
			return "", fail(rmp.CodeParameterInvalid, err)
		}
		if err := checkText(field+".content", m.Content); err != nil {
			return "", err
		}
		messages = append(messages, llama.Message(m))
	}
	format := l.model.FormatChat
	switch {
	case goesOn:
		format = l.continueChat
	case persona != "" && l.model.HasChatTemplate():
		messages = append([]llama.Message{{Role: "system", Content: persona}}, messages...)
	}
	text, err := format(messages)
	if err != nil {
		return "", fail(rmp.CodeModelInvalid, fmt.Errorf("use model %s: %w", l.file.name, err))
	}
	return text, nil
}

// anAnswer stands for an answer in continueChat. No template changes it.
const anAnswer = "ANSWERED"

// continueChat is what the model's template puts between an answer and the end
// of the messages that follow it: the conversation itself is there only as tokens.
func (l *loaded) continueChat(messages []llama.Message) (string, error) {
	if !l.model.HasChatTemplate() {
		return l.model.FormatChat(messages)
	}
	before := []llama.Message{{Role: "user", Content: "?"}, {Role: "assistant", Content: anAnswer}}
	text, err := l.model.FormatChat(append(before, messages...))
	if err != nil {
		return "", err
	}
	_, after, found := strings.Cut(text, anAnswer)
	if !found {
		return "", hint.New(errors.New("its chat template leaves out what was anAnswer before"), "send a raw prompt instead, or use another model")
	}
	return after, nil
}

func checkText(field, text string) error {
	if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		return fail(rmp.CodeParameterInvalid, fmt.Errorf("read request: %s is not UTF-8 text, or has a zero byte in it", field))
	}
	return nil
}
