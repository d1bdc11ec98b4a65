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

// promptTokens turns a request's words into tokens that leave room for at
// least one more.
func (l *loaded) promptTokens(request rmp.Generate) ([]llama.Token, error) {
	text, err := l.promptText(request)
	if err != nil {
		return nil, err
	}
	size := l.context.Size()
	// A text far beyond the context isn't tokenised at all: that could take
	// minutes. The factor leaves room for tokenizers that drop white space.
	if least := len(text) / l.model.LongestPiece() / 4; least > size {
		return nil, tooLong(fmt.Sprintf("over %d", least), size)
	}
	tokens, err := l.model.Tokenize(text, true, true)
	if err != nil {
		return nil, err
	}
	if len(tokens) >= size {
		return nil, tooLong(fmt.Sprint(len(tokens)), size)
	}
	if len(tokens) == 0 {
		return nil, fail(rmp.CodeParameterInvalid, errors.New("read request: the prompt has no tokens"))
	}
	return tokens, nil
}

func tooLong(tokens string, size int) error {
	err := fmt.Errorf("read prompt: it has %s tokens, the context holds %d for prompt and answer", tokens, size)
	return fail(rmp.CodePromptTooLong, hint.New(err, "shorten the prompt, begin a new conversation, or start splinfer with a larger --ctx-size if the model allows it"))
}

func (l *loaded) promptText(request rmp.Generate) (string, error) {
	if (len(request.Messages) > 0) == (request.Prompt != "") {
		return "", fail(rmp.CodeParameterInvalid, errors.New("read request: exactly one of messages and prompt must be given"))
	}
	if request.Prompt != "" {
		return request.Prompt, checkText("prompt", request.Prompt)
	}
	messages := make([]llama.Message, len(request.Messages))
	for i, m := range request.Messages {
		field := fmt.Sprintf("messages[%d]", i)
		if m.Role != "system" && m.Role != "user" && m.Role != "assistant" {
			err := fmt.Errorf("read request: %s.role must be system, user or assistant", field)
			return "", fail(rmp.CodeParameterInvalid, err)
		}
		if err := checkText(field+".content", m.Content); err != nil {
			return "", err
		}
		messages[i] = llama.Message(m)
	}
	text, err := l.model.FormatChat(messages)
	if err != nil {
		return "", fail(rmp.CodeModelInvalid, fmt.Errorf("use model %s: %w", l.file.name, err))
	}
	return text, nil
}

func checkText(field, text string) error {
	if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		return fail(rmp.CodeParameterInvalid, fmt.Errorf("read request: %s is not UTF-8 text, or has a zero byte in it", field))
	}
	return nil
}
