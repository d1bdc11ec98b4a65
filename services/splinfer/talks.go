package splinfer

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinfer/journal"
	"runa/services/splinfer/llama"
)

// talk is a conversation that is kept, while its journal is open. It belongs to
// the computing goroutine but for its state being saved.
type talk struct {
	id      string
	journal *journal.Conversation
	history history
	last    begun
	seat    *seat // where its tokens are in memory; nil: nowhere
	turn    *turn // goes on with it now
	saved   int   // tokens of the longest state that is kept outside of the seats
	used    uint64
	saving  atomic.Pointer[[]byte] // the state that is being written to the disk
	syncing atomic.Bool
}

// mostTalks bounds how many journals are open beside those that are in use.
const mostTalks = 64

// talks are the conversations that are kept.
type talks struct {
	store *journal.Store // nil: none is kept
	open  map[string]*talk

	mu         sync.Mutex
	unfinished map[string]bool // whose last answer was interrupted
	saves      sync.WaitGroup
}

// openTalks opens the folder of conversations; "" keeps none.
func openTalks(dir string, o journal.Options) (*talks, error) {
	t := &talks{open: map[string]*talk{}, unfinished: map[string]bool{}}
	if dir == "" {
		return t, nil
	}
	store, err := journal.Open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open conversations: %w", err)
	}
	interrupted, err := store.Recover()
	if err != nil {
		store.Close()
		return nil, fmt.Errorf("open conversations: %w", err)
	}
	for _, c := range interrupted {
		t.unfinished[c.ID] = true
	}
	t.store = store
	return t, nil
}

// get opens a conversation, or makes it.
func (t *talks) get(id string) (*talk, error) {
	if c := t.open[id]; c != nil {
		return c, nil
	}
	if t.store == nil {
		err := errors.New("keep conversation: splinfer was started without a folder for conversations")
		return nil, fail(rmp.CodeConversationUnknown, hint.New(err, "ask without naming a conversation, or start splinfer with --data"))
	}
	conversation, err := t.store.Conversation(id)
	if err != nil {
		return nil, talkFailure(err)
	}
	c := &talk{id: id, journal: conversation}
	if c.history, c.last, err = recall(conversation); err != nil {
		conversation.Close()
		return nil, talkFailure(err)
	}
	t.open[id] = c
	return c, nil
}

// talkFailure gives what the journal says the code that a client knows.
func talkFailure(err error) error {
	switch {
	case errors.Is(err, journal.ErrFull):
		return fail(rmp.CodeDiskFull, hint.New(err, "delete conversations or models that are not needed: runa conversations, runa models"))
	case errors.Is(err, journal.ErrID):
		return fail(rmp.CodeParameterInvalid, err)
	case errors.Is(err, journal.ErrDamaged), errors.Is(err, journal.ErrNewer):
		return fail(rmp.CodeConversationDamaged, hint.New(err, "begin a new conversation; this one stays as it is on the disk"))
	case errors.Is(err, journal.ErrNotFound):
		return fail(rmp.CodeConversationUnknown, hint.New(err, "runa conversations lists them"))
	case errors.Is(err, journal.ErrBusy):
		return fail(rmp.CodeConversationBusy, err)
	}
	return err
}

// trim closes journals that were not used for longest.
func (t *talks) trim() {
	for len(t.open) > mostTalks {
		idle := slices.DeleteFunc(slices.Collect(maps.Values(t.open)), func(c *talk) bool {
			return c.turn != nil || c.seat != nil || c.saving.Load() != nil || c.syncing.Load()
		})
		if len(idle) == 0 {
			return
		}
		oldest := slices.MinFunc(idle, func(a, b *talk) int { return int(a.used) - int(b.used) })
		_ = t.shut(oldest) // it says so again when it is opened
	}
}

// shut closes a conversation's journal; what is not on the disk goes there.
func (t *talks) shut(c *talk) error {
	delete(t.open, c.id)
	return c.journal.Close()
}

// discard takes a conversation away in which nothing was ever said: the request
// that would have begun it was refused.
func (t *talks) discard(id string) {
	if c := t.open[id]; c != nil && c.history.length == 0 && c.turn == nil && c.seat == nil {
		if t.shut(c) == nil {
			_ = t.store.Remove(id) // at worst it is listed as empty
		}
		t.mark(id, false)
	}
}

// mark notes whether a conversation's last answer is unfinished.
func (t *talks) mark(id string, unfinished bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if unfinished {
		t.unfinished[id] = true
	} else {
		delete(t.unfinished, id)
	}
}

// forget is a conversation that is to be deleted.
type forget struct {
	id   string
	done chan error
}

// forget deletes a conversation, all that is kept of it and what is in memory.
func (e *engine) forget(id string) error {
	if e.talks.store == nil {
		return talkFailure(journal.ErrNotFound)
	}
	if c := e.talks.open[id]; c != nil {
		if c.turn != nil {
			err := fmt.Errorf("delete conversation %s: it is being answered", id)
			return fail(rmp.CodeConversationBusy, hint.New(err, "wait until that is done"))
		}
		if s := c.seat; s != nil {
			_ = e.current.context.Remove(s.number, 0)
			s.talk, c.seat, s.alike = nil, nil, 0
		}
		e.progress.begin(e.o.Now(), time.Minute)
		e.talks.saves.Wait() // nothing may write what is to go
		if err := e.talks.shut(c); err != nil {
			e.o.Log.Warn("a conversation's journal did not close well", "conversation", id, "reason", err.Error())
		}
	}
	e.shelf.drop(id)
	if err := e.talks.store.Remove(id); err != nil {
		return talkFailure(err)
	}
	e.talks.mark(id, false)
	return nil
}

// list is for any goroutine.
func (t *talks) list() ([]rmp.Conversation, error) {
	if t.store == nil {
		return nil, nil
	}
	infos, err := t.store.List()
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]rmp.Conversation, len(infos))
	for i, c := range infos {
		all[i] = rmp.Conversation{
			ID: c.ID, Bytes: uint64(c.Bytes), StateBytes: uint64(c.StateBytes),
			ModifiedMs: c.Modified.UnixMilli(), Unfinished: t.unfinished[c.ID],
		}
	}
	return all, nil
}

// save writes a state beside the journal, in the background.
func (t *talks) save(c *talk, tokens int, state []byte, ended func(error)) {
	if !c.saving.CompareAndSwap(nil, &state) {
		return
	}
	c.saved = tokens
	t.saves.Go(func() {
		err := c.journal.SaveState(tokens, func(w io.Writer) error {
			_, err := w.Write(state)
			return err
		})
		c.saving.Store(nil)
		ended(err)
	})
}

// close waits for states that are being saved and closes all journals.
func (t *talks) close() error {
	t.saves.Wait()
	if t.store == nil {
		return nil
	}
	return t.store.Close()
}

// weights name a model in a journal: its name and what tells its file from others.
func weights(l *loaded) string { return l.file.name + "@" + l.model.Identity().String() }

// modelName is the name in what weights wrote.
func modelName(weights string) string {
	if at := strings.LastIndexByte(weights, '@'); at >= 0 {
		return weights[:at]
	}
	return weights
}

// recalled is how many tokens of a conversation are in memory after a state that
// was kept outside of the seats was put back, 0 if there is none that can be used.
func (e *engine) recalled(c *talk, s *seat) int {
	context := e.current.context
	state := e.shelf.get(c.id)
	if writing := c.saving.Load(); state == nil && writing != nil {
		state = *writing
	}
	if state != nil {
		if err := context.RestoreState(s.number, state); err == nil && e.matches(c, s) {
			return context.Length(s.number)
		}
		e.shelf.drop(c.id)
	}
	_, reader, err := c.journal.LoadState()
	if err != nil {
		if !errors.Is(err, journal.ErrNoState) && !errors.Is(err, journal.ErrBusy) {
			e.o.Log.Warn("a conversation's saved state can't be used", "conversation", c.id, "reason", err.Error())
		}
		return 0
	}
	defer reader.Close()
	state, err = io.ReadAll(reader)
	if err == nil {
		err = context.RestoreState(s.number, state)
	}
	if err == nil && e.matches(c, s) {
		return context.Length(s.number)
	}
	if err != nil && !errors.Is(err, llama.ErrStateForeign) {
		e.o.Log.Warn("a conversation's saved state can't be used", "conversation", c.id, "reason", err.Error())
	}
	_ = context.Remove(s.number, 0)
	return 0
}

// matches forgets what a seat has that is not of a conversation, and says whether
// anything is left.
func (e *engine) matches(c *talk, s *seat) bool {
	tokens := e.current.context.Tokens(s.number)
	n := c.history.shared(tokens)
	if n < len(tokens) && e.current.context.Remove(s.number, n) != nil {
		n = 0 // a recurrent state can only be forgotten whole
		_ = e.current.context.Remove(s.number, 0)
	}
	return n > 0
}

// How often the tokens of an answer that is still being written are brought to the
// disk, and its state is saved.
const (
	syncEvery = time.Second
	saveEvery = 30 * time.Second
)

// save keeps the state of what a seat holds of a conversation on the disk.
func (e *engine) save(s *seat) {
	c := s.talk
	if c == nil || c.saving.Load() != nil || e.current.context.Length(s.number) <= c.saved {
		return
	}
	if state := e.state(s); state != nil {
		e.write(s, state)
	}
}

// state is what a seat has of a conversation, nil if it can't be had.
func (e *engine) state(s *seat) []byte {
	state, err := e.current.context.SaveState(s.number)
	if err != nil {
		e.o.Log.Warn("a conversation's state can't be saved", "conversation", s.talk.id, "reason", err.Error())
		return nil
	}
	return state
}

func (e *engine) write(s *seat, state []byte) {
	id := s.talk.id
	e.talks.save(s.talk, e.current.context.Length(s.number), state, func(err error) {
		if err != nil {
			e.o.Log.Warn("a conversation's state is not saved", "conversation", id, "reason", err.Error())
		}
		e.queue.wake() // there may be more of it by now
	})
}

// saveSometimes brings what is being written to the disk, now and then: a power cut
// costs words that were shown a second ago, which are drawn again the same, and a
// crash at most so much work.
func (e *engine) saveSometimes() {
	now := e.o.Now()
	if e.talks.store == nil || now.Sub(e.lastSync) < syncEvery {
		return
	}
	e.lastSync = now
	save := now.Sub(e.lastSave) >= saveEvery
	if save {
		e.lastSave = now
	}
	if e.current == nil {
		return
	}
	for _, s := range e.current.seats {
		if s.talk == nil {
			continue
		}
		if s.turn != nil {
			e.talks.sync(s.talk)
		}
		if save || s.turn == nil { // an earlier state may have been on its way when the answer ended
			e.save(s)
		}
	}
}

// sync waits in the background until what a conversation has is on the disk.
func (t *talks) sync(c *talk) {
	if !c.syncing.CompareAndSwap(false, true) {
		return
	}
	t.saves.Go(func() {
		defer c.syncing.Store(false)
		_ = c.journal.Sync() // the one at the end of the answer tells
	})
}
