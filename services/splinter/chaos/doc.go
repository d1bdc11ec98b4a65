// Package chaos proves what the bus promises about crashes and about order, on
// real processes. It holds tests only and must never be imported.
//
// TestChaos runs 4 writers and 4 readers as processes of their own and kills one
// of them at a random instant, again and again. Writers note in a journal, which
// is memory that outlives them, what they are about to do and what has been
// acknowledged; the test compares the bus with the journal after each death of a
// writer. RUNA_CHAOS_KILLS (default 300) says how many are killed,
// RUNA_CHAOS_SEED which ones and when; the seed is printed.
//
// TestHistoriesAreLinearisable records what 4 processes do to the same keys at the
// same time and asks porcupine whether one order of it all explains every answer.
package chaos
