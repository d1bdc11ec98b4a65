package runa

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinter"
)

// What makes a chat outlive splinfer: it has a name, splinfer keeps under it
// what was said, and an answer whose splinfer died is taken up where it broke off.

// fruitless is how many of splinfer's lives may end without a further word
// before the person is told that it does not go on.
const fruitless = 3

// nameFormat makes the name of a conversation of the time it begins.
const nameFormat = "chat-20060102-1504"

// answer asks, and goes on asking for the rest when splinfer dies in between.
func (c *conversation) answer(ctx context.Context, shown *answer, request rmp.Generate) (rmp.Done, error) {
	waiting := c.e.waitingNote()
	for lives := 0; ; {
		before, life := shown.next, c.model.life()
		done, err := c.once(ctx, shown, request, waiting)
		if !errors.Is(err, errModelStopped) || c.NoKeep {
			return done, err
		}
		if shown.next > before {
			lives = 0
		}
		if lives++; lives == fruitless {
			err := fmt.Errorf("the model stopped %d times at the same place of its answer", lives)
			return done, hint.New(err, "see `runa explain %s`; what was said so far is kept", listener)
		}
		shown.pause()
		waiting = func() {}
		c.model.awaitLife(ctx, life, c.e.Patience/4)
	}
}

// once asks one of splinfer's lives.
func (c *conversation) once(ctx context.Context, shown *answer, request rmp.Generate, waiting func()) (rmp.Done, error) {
	connection, err := c.model.dial(ctx, c.e.Patience, waiting)
	if err != nil {
		return rmp.Done{}, err
	}
	defer connection.Close()
	if c.NoKeep {
		return c.model.generate(ctx, connection, request, shown)
	}
	kept, err := c.model.conversations(ctx, connection, "")
	if err != nil {
		return rmp.Done{}, err
	}
	if c.name == "" {
		c.name = newName(c.e.Now().Format(nameFormat), kept)
	}
	request.Conversation = c.name
	if shown.asked && (shown.next > 0 || unfinished(kept, c.name)) {
		request = rmp.Generate{Conversation: c.name, From: shown.next}
	}
	shown.asked = true
	done, err := c.model.generate(ctx, connection, request, shown)
	for !c.kept && codeOf(err) == rmp.CodeConversationBusy { // begun in the same minute by somebody else
		kept = append(kept, rmp.Conversation{ID: c.name})
		c.name = newName(c.e.Now().Format(nameFormat), kept)
		request.Conversation = c.name
		done, err = c.model.generate(ctx, connection, request, shown)
	}
	c.kept = c.kept || err == nil || codeOf(err) == "" // a report means that it was refused
	return done, err
}

func unfinished(kept []rmp.Conversation, name string) bool {
	return slices.ContainsFunc(kept, func(k rmp.Conversation) bool { return k.ID == name && k.Unfinished })
}

// newName is wanted, or with the first number behind it that makes a name that
// nothing is kept under.
func newName(wanted string, kept []rmp.Conversation) string {
	name := wanted
	for n := 2; slices.ContainsFunc(kept, func(k rmp.Conversation) bool { return k.ID == name }); n++ {
		name = wanted + "-" + strconv.Itoa(n)
	}
	return name
}

// find returns the conversation that --continue means.
func (c *conversation) find(ctx context.Context) (rmp.Conversation, error) {
	ctx, cancel := c.e.interruptible(ctx)
	defer cancel()
	connection, err := c.model.dial(ctx, c.e.Patience, c.e.waitingNote())
	if err != nil {
		return rmp.Conversation{}, err
	}
	defer connection.Close()
	kept, err := c.model.conversations(ctx, connection, "")
	switch {
	case err != nil:
		return rmp.Conversation{}, err
	case len(kept) == 0:
		return rmp.Conversation{}, hint.New(errors.New("there is no conversation to go on with"), "runa chat begins one")
	case c.Name == "":
		return slices.MaxFunc(kept, func(a, b rmp.Conversation) int { return cmp.Compare(a.ModifiedMs, b.ModifiedMs) }), nil
	}
	i := slices.IndexFunc(kept, func(k rmp.Conversation) bool { return k.ID == c.Name })
	if i < 0 {
		return rmp.Conversation{}, hint.New(fmt.Errorf("there is no conversation %s", oneLine(c.Name)), "runa conversations lists those that are kept")
	}
	return kept[i], nil
}

// withInference runs work with a connection to splinfer; Ctrl-C ends it.
func (e Environment) withInference(ctx context.Context, work func(context.Context, *inference, *splinter.Conn) error) error {
	ctx, cancel := e.interruptible(ctx)
	defer cancel()
	return e.inference(ctx, func(model *inference) error {
		connection, err := model.dial(ctx, e.Patience, e.waitingNote())
		if err != nil {
			return err
		}
		defer connection.Close()
		return work(ctx, model, connection)
	})
}
