package runa

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"runa/services/hint"
	"runa/services/rmp"
)

// Chat is `runa chat`: a conversation, line by line.
type Chat struct {
	Model string `help:"Name of the model; the default is the service's." placeholder:"NAME"`
	Sampling
}

// Help adds what `runa chat --help` shows below the usage.
func (Chat) Help() string {
	return `Examples:
  runa chat
  runa chat --temp 0.7 --n-predict 200

In the chat: Ctrl-C stops an answer, /new starts over, /help lists the rest, Ctrl-D leaves.
The conversation is in memory only and is gone when you leave.`
}

const chatHelp = `/new   start a new conversation; the model forgets this one
/help  show this list
/quit  leave (so does Ctrl-D)
Ctrl-C stops an answer; pressed again at the prompt it leaves
`

// conversation is one chat from its start to its end.
type conversation struct {
	Chat
	e        Environment
	model    *inference
	messages []rmp.Message
	typed    *lineReader
	// interrupts counts Ctrl-C since the last line that was typed.
	interrupts int
}

func (c Chat) run(ctx context.Context, e Environment) error {
	return e.inference(ctx, func(model *inference) error {
		waiting, cancel := e.interruptible(ctx)
		name, err := model.awaitModel(waiting, e.Patience, e.waitingNote())
		cancel()
		if err != nil {
			return err
		}
		if c.Model != "" {
			name = c.Model
		}
		if name == "" {
			return hint.New(errors.New("there is no model that can answer"), "runa models shows which there are and what is wrong")
		}
		fmt.Fprintf(e.Out, "%s answers, on this machine alone.\n", name)
		fmt.Fprintln(e.Out, "Ctrl-C stops an answer, /help shows more, Ctrl-D leaves.")
		talk := &conversation{Chat: c, e: e, model: model, typed: newLineReader(e.In)}
		return talk.run(ctx)
	})
}

// run reads and answers lines until the person leaves.
func (c *conversation) run(ctx context.Context) error {
	for {
		fmt.Fprint(c.e.Out, "you> ")
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.e.Interrupt:
			fmt.Fprintln(c.e.Out)
			if c.interrupts++; c.interrupts > 1 {
				return nil
			}
			fmt.Fprintln(c.e.Out, "(Ctrl-C again leaves)")
		case line, more := <-c.typed.next():
			c.typed.taken()
			if !more {
				fmt.Fprintln(c.e.Out)
				return nil
			}
			c.interrupts = 0
			if leave := c.line(ctx, strings.TrimSpace(line)); leave {
				return nil
			}
		}
	}
}

// line does what one typed line asks for; it reports whether to leave.
func (c *conversation) line(ctx context.Context, line string) (leave bool) {
	switch {
	case line == "":
	case line == "/quit":
		return true
	case line == "/help":
		fmt.Fprint(c.e.Out, chatHelp)
	case line == "/new":
		c.messages = nil
		fmt.Fprintln(c.e.Out, "a new conversation")
	case strings.HasPrefix(line, "/"):
		fmt.Fprintf(c.e.Out, "no such command; /help lists them (a message cannot start with /)\n")
	default:
		c.say(ctx, line)
	}
	return false
}

// say sends the whole conversation with one more message and shows the answer.
// A question that got no answer is forgotten, so that asking again is the same
// question; an answer that the person stopped is kept as far as it went.
func (c *conversation) say(ctx context.Context, text string) {
	ctx, cancel := c.e.interruptible(ctx)
	defer cancel()
	asked := append(c.messages[:len(c.messages):len(c.messages)], rmp.Message{Role: "user", Content: text})
	said, err := c.answer(ctx, asked)
	switch {
	case err == nil, interrupted(ctx):
		c.messages = append(asked, rmp.Message{Role: "assistant", Content: said})
		if interrupted(ctx) {
			c.interrupts = 1
			fmt.Fprintln(c.e.Out, "(stopped)")
		}
	case errors.Is(err, errModelStopped):
		fmt.Fprintln(c.e.Out, err)
	default:
		hint.Print(c.e.Out, err)
	}
}

func (c *conversation) answer(ctx context.Context, messages []rmp.Message) (string, error) {
	connection, err := c.model.dial(ctx, c.e.Patience, c.e.waitingNote())
	if err != nil {
		return "", err
	}
	defer connection.Close()
	shown := newAnswer(c.e)
	request := rmp.Generate{Model: c.Model, Messages: messages, Parameters: c.parameters()}
	_, err = c.model.generate(ctx, connection, request, shown.word)
	return shown.end(), err
}
