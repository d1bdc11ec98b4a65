// Package hook is the place where splinfer's tokens are judged before anybody
// gets them. It owns what a hook is (Hook, Session, Verdict), how several become
// one (Chain), and how a process beside this one is asked over the bus (Sidecar,
// Serve). It must never show a token, know a rule, or let anything pass that
// nobody has judged.
//
// # What a reader may rely on
//
// Everything fails closed. Begin that fails means that the answer is not begun. A
// hook that panics, gives a verdict that can't be meant, or is asked before its
// turn is a Stop. A judge beside this process that can't be dialled, dies, talks
// nonsense or is late closes Later, and with that ends the answer.
//
// No method of a hook of this package waits, except for what it is made of: the dial of a
// Sidecar. So the computing goroutine may call them.
//
// # What it must never do
//
// Tokens and prompts are a person's words: no error, rule or log record has any
// of them. Of a panic its place is kept and not its value.
package hook
