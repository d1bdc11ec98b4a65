package runa

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"runa/services/rmp"
	"runa/services/splinter"
)

// Conversations is `runa conversations`: what splinfer keeps.
type Conversations struct {
	List   ConversationsList   `cmd:"" default:"withargs" help:"List the conversations that are kept."`
	Remove ConversationsRemove `cmd:"" help:"Delete a conversation for good."`
}

// Help adds what `runa conversations --help` shows below the usage.
func (Conversations) Help() string {
	return `Examples:
  runa conversations
  runa conversations remove chat-20261121-2003
  runa chat --continue chat-20261121-2003`
}

// ConversationsList is `runa conversations list`.
type ConversationsList struct{}

// Help adds what `runa conversations list --help` shows below the usage.
func (ConversationsList) Help() string {
	return `Examples:
  runa conversations
  runa conversations list

The newest stands first. An answer that was interrupted is finished by runa chat --continue NAME.`
}

func (ConversationsList) run(ctx context.Context, e Environment) error {
	return e.withInference(ctx, func(ctx context.Context, model *inference, connection *splinter.Conn) error {
		kept, err := model.conversations(ctx, connection, "")
		if err != nil {
			return err
		}
		return e.showConversations(kept)
	})
}

func (e Environment) showConversations(kept []rmp.Conversation) error {
	if len(kept) == 0 {
		_, err := fmt.Fprintln(e.Out, "no conversation is kept")
		return err
	}
	slices.SortStableFunc(kept, func(a, b rmp.Conversation) int { return cmp.Compare(b.ModifiedMs, a.ModifiedMs) })
	table := tabwriter.NewWriter(e.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tLAST USED\tSIZE\tSTATE")
	for _, one := range kept {
		state := "-"
		if one.Unfinished {
			state = "its last answer is not finished"
		}
		used := time.UnixMilli(one.ModifiedMs).Format("2006-01-02 15:04")
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", printable(one.ID), used, size(one.Bytes+one.StateBytes), state)
	}
	return table.Flush()
}

// ConversationsRemove is `runa conversations remove`.
type ConversationsRemove struct {
	Name string `arg:"" help:"Name of the conversation; runa conversations lists them."`
}

// Help adds what `runa conversations remove --help` shows below the usage.
func (ConversationsRemove) Help() string {
	return `Examples:
  runa conversations remove chat-20261121-2003

It can't be brought back.`
}

func (r ConversationsRemove) run(ctx context.Context, e Environment) error {
	return e.withInference(ctx, func(ctx context.Context, model *inference, connection *splinter.Conn) error {
		if _, err := model.conversations(ctx, connection, r.Name); err != nil {
			return attempted("remove "+r.Name, err)
		}
		_, err := fmt.Fprintf(e.Out, "%s is removed\n", oneLine(r.Name))
		return err
	})
}
