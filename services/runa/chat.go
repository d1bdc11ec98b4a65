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
	Name     string `arg:"" optional:"" help:"With --continue: the conversation to go on with; the newest if not given."`
	Continue bool   `help:"Go on with a conversation that is kept; an answer that was interrupted is finished first."`
	NoKeep   bool   `name:"no-keep" help:"Keep nothing of it."`
	Model    string `help:"Name of the model; the default is the service's." placeholder:"NAME"`
	Persona  string `help:"Who answers: a persona's name." placeholder:"NAME"`
	Sampling
}

// Help adds what `runa chat --help` shows below the usage.
func (Chat) Help() string {
	return `Examples:
  runa chat
  runa chat --continue
  runa chat --continue chat-20261121-2003
  runa chat --no-keep
  runa chat --persona gentle --temp 0.7 --n-predict 200

In the chat: Ctrl-C stops an answer, /new starts over, /help lists the rest, Ctrl-D leaves.
The conversation is kept on this machine, and its name said when you leave; runa conversations
lists what is kept and removes it. With --no-keep it is gone when you leave.`
}

const chatHelp = `/new   start a new conversation; the model forgets this one
/help  show this list
/quit  leave (so does Ctrl-D)
Ctrl-C stops an answer; pressed again at the prompt it leaves
`

// conversation is one chat from its start to its end.
type conversation struct {
	Chat
	e          Environment
	model      *inference
	parameters map[string]any
	typed      *lineReader

	// name is under which splinfer keeps it: empty before the first message, and
	// with --no-keep.
	name string
	kept bool // there is something under that name

	// messages are all that was said, with --no-keep.
	messages []rmp.Message

	// interrupts counts Ctrl-C since the last line that was typed.
	interrupts int
}

func (c Chat) run(ctx context.Context, e Environment) error {
	parameters, err := c.check()
	if err != nil {
		return err
	}
	return e.inference(ctx, func(model *inference) error {
		waiting, cancel := e.interruptible(ctx)
		name, err := model.awaitModel(waiting, e.Patience, e.waitingNote())
		cancel()
		if err != nil {
			return err
		}
		talk := &conversation{Chat: c, e: e, model: model, parameters: parameters, typed: newLineReader(e.In)}
		if err := talk.welcome(ctx, name); err != nil {
			return err
		}
		err = talk.run(ctx)
		talk.farewell()
		return err
	})
}

// check refuses options that contradict each other.
func (c Chat) check() (parameters map[string]any, err error) {
	switch {
	case c.Name != "" && !c.Continue:
		err = hint.New(fmt.Errorf("chat takes no argument without --continue: %s", oneLine(c.Name)), "type messages at the prompt; to go on: runa chat --continue %s", oneLine(c.Name))
	case c.Continue && c.NoKeep:
		err = hint.New(errors.New("--continue and --no-keep contradict each other"), "a conversation that goes on is one that is kept")
	}
	if err != nil {
		return nil, err
	}
	return c.Sampling.parameters()
}

// welcome says who answers and what is kept, and goes on with what there is.
func (c *conversation) welcome(ctx context.Context, model string) error {
	if c.Model != "" {
		model = c.Model
	}
	if model == "" && !c.Continue { // which has a model of its own
		return hint.New(errors.New("there is no model that can answer"), "runa models shows which there are and what is wrong")
	}
	unfinished := false
	if c.Continue {
		found, err := c.find(ctx)
		if err != nil {
			return err
		}
		c.name, c.kept, unfinished = found.ID, true, found.Unfinished
	}
	first := model + " answers"
	if c.Continue {
		first = c.name + " goes on"
	}
	fmt.Fprintln(c.e.Out, first+", on this machine alone.")
	fmt.Fprintln(c.e.Out, "Ctrl-C stops an answer, /help shows more, Ctrl-D leaves.")
	if c.NoKeep {
		fmt.Fprintln(c.e.Out, "Nothing of this conversation is kept.")
	} else if !c.Continue {
		fmt.Fprintln(c.e.Out, "This conversation is kept on this machine; runa chat --no-keep keeps nothing.")
	}
	if unfinished {
		fmt.Fprintln(c.e.Out, "Its last answer was interrupted. Here it is to its end:")
		c.show(ctx, rmp.Generate{Conversation: c.name})
	}
	return nil
}

// farewell says how to go on with what is kept.
func (c *conversation) farewell() {
	if c.kept {
		fmt.Fprintf(c.e.Out, "kept as %s; to go on: runa chat --continue %s\n", c.name, c.name)
	}
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
		c.farewell()
		c.messages, c.name, c.kept = nil, "", false
		fmt.Fprintln(c.e.Out, "a new conversation")
	case strings.HasPrefix(line, "/"):
		fmt.Fprintf(c.e.Out, "no such command; /help lists them (a message cannot start with /)\n")
	default:
		c.say(ctx, line)
	}
	return false
}

// say sends one more message and shows the answer. Of a conversation that is
// kept splinfer knows what went before; else all of it is sent. A question that got
// no answer is then forgotten, so that asking again is the same question; an
// answer that the person stopped is kept as far as it went.
func (c *conversation) say(ctx context.Context, text string) {
	message := rmp.Message{Role: "user", Content: text}
	request := rmp.Generate{Model: c.Model, Persona: c.Persona, Parameters: c.parameters}
	if !c.NoKeep {
		request.Messages = []rmp.Message{message}
		c.show(ctx, request)
		return
	}
	request.Messages = append(c.messages[:len(c.messages):len(c.messages)], message)
	if said, ok := c.show(ctx, request); ok {
		c.messages = append(request.Messages, rmp.Message{Role: "assistant", Content: said})
	}
}

// show asks and shows the answer, or why there is none. It reports what was said
// and whether that is part of the conversation.
func (c *conversation) show(ctx context.Context, request rmp.Generate) (said string, ok bool) {
	ctx, cancel := c.e.interruptible(ctx)
	defer cancel()
	shown := newAnswer(c.e)
	shown.aside = c.e.Out
	done, err := c.answer(ctx, shown, request)
	if err == nil {
		shown.finish(done)
	}
	said = shown.end()
	switch {
	case interrupted(ctx):
		c.interrupts = 1
		fmt.Fprintln(c.e.Out, "(stopped)")
		return said, true
	case errors.Is(err, errModelStopped):
		fmt.Fprintln(c.e.Out, err)
	case err != nil:
		hint.Print(c.e.Out, err)
	default:
		return said, true
	}
	return said, false
}
