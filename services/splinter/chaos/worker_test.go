package chaos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"runa/services/rmp"
	"runa/services/splinter"
)

const (
	addKey    = "chaos/sum"
	casKey    = "chaos/raised"
	hammerKey = "chaos/hammer"
	topicName = "chaos/topic"
	loanFrom  = 2048 // bodies from this size on are published from a loan
	unsetEach = 16   // every so many operations a writer removes the key
)

var topicOptions = splinter.TopicOptions{Depth: 512, Bytes: 2 << 20, Policy: splinter.Block}

func keyName(writer, key int) string { return fmt.Sprintf("chaos/%d/%d", writer, key) }

// TestMain is also the entry of the other processes: RUNA_CHAOS_ROLE names what they do.
func TestMain(m *testing.M) {
	role := os.Getenv("RUNA_CHAOS_ROLE")
	if role == "" {
		os.Exit(m.Run())
	}
	if err := work(role); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
		os.Exit(1)
	}
}

func work(role string) error {
	seed, err := strconv.ParseUint(os.Getenv("RUNA_CHAOS_SEED"), 10, 64)
	if err != nil {
		return err
	}
	bus, err := splinter.Open(os.Getenv("RUNA_CHAOS_BUS"))
	if err != nil {
		return err
	}
	kind, number, _ := strings.Cut(role, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	if kind == "history" {
		return history(bus, n)
	}
	journal, err := openJournal(os.Getenv("RUNA_CHAOS_JOURNAL"))
	if err != nil {
		return err
	}
	topic, err := bus.Topic(topicName, topicOptions)
	if err != nil {
		return err
	}
	if kind == "hammer" {
		return hammer(bus, topic, n)
	}
	if kind == "writer" {
		return (&writer{bus, topic, &journal.entries[n], uint64(n), random, make([]byte, 1<<17), make([]byte, 1<<17)}).run()
	}
	return (&reader{bus, topic, journal, random}).run()
}

// writer does at random what a writer can do, until it is killed.
type writer struct {
	bus     *splinter.Bus
	topic   *splinter.Topic
	journal *[actions]entry
	number  uint64
	random  *rand.Rand
	buffer  []byte
	seen    []byte
}

// body makes a value of a random size; it is good until the next.
func (w *writer) body(number uint64) []byte {
	return body{w.number, number}.bytes(w.buffer[:size(w.random)])
}

func (w *writer) run() error {
	for {
		action := w.random.IntN(actions)
		e := &w.journal[action]
		next := e.intended.Load() + 1
		e.intended.Store(next)
		var err error
		switch action {
		case addAction:
			_, err = w.bus.Add(addKey, 1)
		case casAction:
			err = w.raise()
		case publish:
			err = w.publish(next)
		default:
			err = w.set(action, next)
		}
		if errors.Is(err, splinter.ErrFull) {
			// Nothing was done; the number is spent. What was acknowledged stays what it was.
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			return err
		}
		e.acknowledged.Store(next)
		e.succeeded.Add(1)
	}
}

func (w *writer) set(key int, number uint64) error {
	name := keyName(int(w.number), key)
	if number%unsetEach == 0 {
		if err := w.bus.Unset(name); err != nil && !errors.Is(err, splinter.ErrNotFound) {
			return err
		}
		return nil
	}
	return w.bus.Set(name, w.body(number))
}

// raise adds one to the common value by compare-and-set, however often it takes.
func (w *writer) raise() error {
	for {
		value, version, err := w.bus.AppendGet(w.seen[:0], casKey)
		if err != nil {
			return err
		}
		old, err := parse(value)
		if err != nil {
			return err
		}
		next := w.body(old.number + 1)
		if _, err = w.bus.CompareAndSet(casKey, version, next); !errors.Is(err, splinter.ErrConflict) {
			return err
		}
	}
}

func (w *writer) publish(number uint64) error {
	n := size(w.random)
	header := rmp.Header{
		SchemaID: rmp.SchemaToken, CreatedAtMs: uint64(time.Now().UnixMilli()), TTLMs: 60000, MsgID: number,
	}
	binary.LittleEndian.PutUint64(header.TraceID[:], w.number+1)
	if n >= loanFrom {
		loan, err := w.topic.Loan(n)
		if err != nil {
			return err
		}
		body{w.number, number}.bytes(loan.Bytes())
		return loan.Publish(context.Background(), header)
	}
	frame, err := rmp.New(rmp.SchemaToken, time.Now(), header.TraceID, number, body{w.number, number}.bytes(w.buffer[:n]))
	if err != nil {
		return err
	}
	return w.topic.Publish(context.Background(), frame)
}

// reader reads whatever there is and checks all of it, until it is killed.
type reader struct {
	bus     *splinter.Bus
	topic   *splinter.Topic
	journal *journal
	random  *rand.Rand
}

func (r *reader) run() error {
	s, err := r.topic.Subscribe(splinter.SubscribeOptions{})
	if err != nil {
		return err
	}
	go r.readKeys()
	var last [writers]uint64
	for {
		m, err := s.Receive(context.Background())
		if err != nil {
			return err
		}
		var payload []byte
		if err := m.Unmarshal(&payload); err != nil {
			r.journal.torn.Add(1)
			fmt.Fprintf(os.Stderr, "reader: message %d: %v\n", m.Sequence, err)
		} else if b, err := parse(payload); err != nil || b.number != m.MsgID {
			r.journal.torn.Add(1)
			fmt.Fprintf(os.Stderr, "reader: message %d: %v\n", m.Sequence, err)
		} else if b.number <= last[b.writer%writers] {
			r.journal.misread.Add(1)
			fmt.Fprintf(os.Stderr, "reader: message %d of writer %d after %d\n", b.number, b.writer, last[b.writer])
		} else {
			last[b.writer] = b.number
		}
		if r.random.IntN(4) > 0 { // some are held until death
			m.Release()
		}
	}
}

func (r *reader) readKeys() {
	random := rand.New(rand.NewPCG(r.random.Uint64(), 1))
	var last [writers][keysEach]uint64
	buffer := make([]byte, 0, 1<<17)
	for {
		w, k := random.IntN(writers), random.IntN(keysEach)
		value, _, err := r.bus.AppendGet(buffer, keyName(w, k))
		if errors.Is(err, splinter.ErrNotFound) {
			continue
		}
		r.journal.reads.Add(1)
		b, parseErr := parse(value)
		switch {
		case err != nil || parseErr != nil:
			r.journal.torn.Add(1)
			fmt.Fprintf(os.Stderr, "reader: %s: %v\n", keyName(w, k), errors.Join(err, parseErr))
		case b.number < last[w][k]:
			r.journal.misread.Add(1)
			fmt.Fprintf(os.Stderr, "reader: %s: number %d after %d\n", keyName(w, k), b.number, last[w][k])
		default:
			last[w][k] = b.number
		}
	}
}

// hammers do one thing all the time, so that whoever kills them most often meets
// them within it. Each is given how often it has been called.
var hammers = []struct {
	name string
	do   func(bus *splinter.Bus, topic *splinter.Topic, value []byte, n int) error
}{
	{"set", func(bus *splinter.Bus, _ *splinter.Topic, value []byte, _ int) error {
		return bus.Set(hammerKey, value)
	}},
	{"insert and unset", func(bus *splinter.Bus, _ *splinter.Topic, value []byte, n int) error {
		key := fmt.Sprintf("%s/%d", hammerKey, n%8)
		if err := bus.Set(key, value[:300]); err != nil {
			return err
		}
		return bus.Unset(key)
	}},
	{"publish", func(_ *splinter.Bus, topic *splinter.Topic, value []byte, n int) error {
		frame, err := rmp.New(rmp.SchemaToken, time.Now(), [16]byte{1}, uint64(n), value[:100])
		if err != nil {
			return err
		}
		return topic.Publish(context.Background(), frame)
	}},
	{"loan and publish", func(_ *splinter.Bus, topic *splinter.Topic, value []byte, n int) error {
		loan, err := topic.Loan(len(value))
		if err != nil {
			return err
		}
		return loan.Publish(context.Background(), rmp.Header{
			SchemaID: rmp.SchemaToken, CreatedAtMs: uint64(time.Now().UnixMilli()), TTLMs: 1000, MsgID: uint64(n),
		})
	}},
}

func hammer(bus *splinter.Bus, topic *splinter.Topic, kind int) error {
	value := body{0, 1}.bytes(make([]byte, 64<<10))
	for n := 0; ; n++ {
		if err := hammers[kind].do(bus, topic, value, n); err != nil {
			return err
		}
		if n == 10 {
			fmt.Println("at work")
		}
	}
}
