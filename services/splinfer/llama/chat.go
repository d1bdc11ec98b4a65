package llama

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"runa/services/hint"
)

// Message is one turn of a conversation; Role is "system", "user" or
// "assistant".
type Message struct {
	Role    string
	Content string
}

// ErrTemplate is what FormatChat's error wraps when the model's chat template
// is none of those that llama.cpp's C interface knows (it has no Jinja).
var ErrTemplate = errors.New("its chat template is not one that llama.cpp's C interface knows")

// HasChatTemplate tells whether the model was made for conversations.
func (m *Model) HasChatTemplate() bool { return m.template != "" }

// FormatChat writes a conversation the way the model was trained to read it,
// ending where the assistant's turn begins. A model without a template, such
// as one that only tells stories, continues the last message as it stands.
func (m *Model) FormatChat(messages []Message) (string, error) {
	if len(messages) == 0 {
		return "", errors.New("format chat: there is no message")
	}
	if !m.HasChatTemplate() {
		return messages[len(messages)-1].Content, nil
	}
	chat := make([]chatMessage, len(messages))
	size := 1024
	for i, message := range messages {
		if strings.IndexByte(message.Role, 0) >= 0 || strings.IndexByte(message.Content, 0) >= 0 {
			return "", fmt.Errorf("format chat: message %d has a zero byte in it", i+1)
		}
		chat[i] = chatMessage{role: cString(message.Role), content: cString(message.Content)}
		size += 2 * (len(message.Role) + len(message.Content) + 64)
	}
	if size > math.MaxInt32/2 {
		return "", fmt.Errorf("format chat: the messages have %d bytes", size/2)
	}
	for {
		buffer := make([]byte, size)
		n := m.library.c.applyChat(m.template, &chat[0], uintptr(len(chat)), true, &buffer[0], int32(size))
		switch {
		case n < 0:
			return "", hint.New(fmt.Errorf("format chat: %w", ErrTemplate), "send a raw prompt instead, or use another model")
		case int(n) < size:
			return string(buffer[:n]), nil
		}
		size = int(n) + 1
	}
}

// cString returns text followed by a zero byte, in Go's memory.
func cString(text string) *byte {
	bytes := append([]byte(text), 0)
	return &bytes[0]
}
