// Package journal keeps conversations: the tokens of each in an append-only
// file, and beside it, where there is room, the state that the model had after
// some of them, so that a conversation goes on after an eviction, a crash or a
// reboot without being read again.
//
// It owns one folder, which one Store at a time has open:
//
//	ID.journal        the conversation: a header and records, see README.md
//	ID.state          a KV state, whole; its name is given to it by a rename
//	ID.state.loading  the same while somebody loads it
//	ID.N.damaged      a damaged journal that Salvage set aside, N from 1 to 9
//	*.temp            unfinished, removed at Open
//	lock              held by the Store
//
// # What a reader may rely on
//
// A journal never changes but at its end. What Append wrote survives the death
// of the process; what was appended before a Sync that returned nil survives a
// power cut. After any of both a conversation holds a prefix of the records that were
// appended, in their order, and never a part of one.
//
// A tail that a power cut tore is cut off when the conversation is opened,
// and nothing before it. Damage to what was on the disk is no torn tail:
// then nothing is cut, ErrDamaged is returned, and Salvage keeps
// what is sound. A state is an optimisation: one that is damaged, does not match the
// journal's tokens or was being loaded when the process died is not returned.
//
// An Append that fails appended nothing, and a later one may succeed. When the
// disk is full, states are given up for the journal, the oldest first.
//
// A Store and its Conversations may be used by many goroutines. Append waits
// for no disk unless the kernel does; Sync waits for it.
//
// # What it must never do
//
// Tokens are a person's words: no error and no log record may carry one, nor
// parameters or reasons. Names of conversations, kinds of records, offsets and
// counts may be there. It must never delete a journal on its own.
package journal
