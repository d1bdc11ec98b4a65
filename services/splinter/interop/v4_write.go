package interop

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
)

// V4Options shape the file that WriteV4 makes; zero fields fit it to the entries.
type V4Options struct {
	Slots      int  // default: twice the keys, at least 1024
	ValueMax   int  // bytes; default: the longest value, to a multiple of 64, at least 4096
	Embeddings bool // slots of 3200 bytes, as the library built with embeddings expects
}

// WriteV4 writes a store that libsplinter of the same slot size opens. A key that
// the format cannot carry (over 63 bytes, with a 0 byte, with a value over
// ValueMax) is left out and is a Problem, as is what was lost of one that it carries.
func WriteV4(w io.Writer, entries []Entry, o V4Options) ([]Problem, error) {
	p := v4Plan{embeddings: map[string][]byte{}}
	p.sort(entries, &o)
	if err := p.shape(o); err != nil {
		return nil, fmt.Errorf("write libsplinter store: %w", err)
	}
	if err := p.place(); err != nil {
		return nil, fmt.Errorf("write libsplinter store: %w", err)
	}
	out := bufio.NewWriter(w)
	p.write(out, o.Embeddings)
	if err := out.Flush(); err != nil {
		return nil, fmt.Errorf("write libsplinter store: %w", err)
	}
	return p.problems, nil
}

type v4Plan struct {
	keys       []Entry
	embeddings map[string][]byte
	slots      uint32
	valueMax   uint32
	placed     []*Entry // by slot
	problems   []Problem
}

func (p *v4Plan) problem(key, format string, args ...any) {
	p.problems = append(p.problems, Problem{Key: key, Reason: fmt.Sprintf(format, args...)})
}

// sort tells embeddings from keys, and what cannot travel from what can.
func (p *v4Plan) sort(entries []Entry, o *V4Options) {
	plain := map[string]bool{}
	for _, e := range entries {
		plain[e.Key] = true
	}
	for _, e := range entries {
		owner, embedding := embeddingOf(e)
		switch {
		case embedding && o.Embeddings && plain[owner]:
			p.embeddings[owner] = e.Value
		case len(e.Key) >= v4KeySize:
			p.problem(e.Key, "left out: the key has %d bytes, the format takes %d", len(e.Key), v4KeySize-1)
		case e.Key == "" || strings.Contains(e.Key, "\x00"):
			p.problem(e.Key, "left out: the key is empty or has a 0 byte")
		case o.ValueMax > 0 && len(e.Value) > o.ValueMax:
			p.problem(e.Key, "left out: the value has %d bytes, at most %d were asked for", len(e.Value), o.ValueMax)
		default:
			p.note(e)
			if e.Type == "int" && len(e.Value) != 8 {
				p.problem(e.Key, "typed as an integer but has %d bytes; written as void", len(e.Value))
				e.Type = ""
			}
			p.keys = append(p.keys, e)
		}
	}
}

// note says what of the entry the format has no place for.
func (p *v4Plan) note(e Entry) {
	if _, known := typeFlag(e.Type); !known {
		p.problem(e.Key, "its type %q is not one of the format's; written as void", e.Type)
	}
	if e.TTL != 0 || e.HalfLife != 0 {
		p.problem(e.Key, "its lifetime is left out: the format has none")
	}
	if len(e.Value) == 0 {
		p.problem(e.Key, "its value is empty: libsplinter reads it but does not list it")
	}
}

func (p *v4Plan) shape(o V4Options) error {
	slots, valueMax := o.Slots, o.ValueMax
	if slots == 0 {
		slots = max(1024, 2*len(p.keys))
	}
	if valueMax == 0 {
		valueMax = 4096
		for _, e := range p.keys {
			valueMax = max(valueMax, (len(e.Value)+63)&^63)
		}
	}
	if slots < len(p.keys) {
		return fmt.Errorf("%d slots are too few for %d keys", slots, len(p.keys))
	}
	if slots < 1 || valueMax < 1 || int64(slots) > math.MaxUint32/int64(valueMax) {
		return fmt.Errorf("%d slots with values to %d bytes: the format's offsets end at 4 GiB", slots, valueMax)
	}
	p.slots, p.valueMax = uint32(slots), uint32(valueMax)
	return nil
}

// place gives each key the first free slot from the one its hash names, as the
// library's search expects.
func (p *v4Plan) place() error {
	p.placed = make([]*Entry, p.slots)
	for i := range p.keys {
		at := fnv1a(p.keys[i].Key) % uint64(p.slots)
		for p.placed[at] != nil {
			if p.placed[at].Key == p.keys[i].Key {
				return fmt.Errorf("key %q is there twice", p.keys[i].Key)
			}
			at = (at + 1) % uint64(p.slots)
		}
		p.placed[at] = &p.keys[i]
	}
	return nil
}

// write relies on bufio.Writer to keep the first error.
func (p *v4Plan) write(out *bufio.Writer, embeddings bool) {
	slotSize := uint64(v4SlotSize)
	if embeddings {
		slotSize = v4LargeSlot
	}
	out.Write(p.header(v4HeaderSize + uint64(p.slots)*(slotSize+uint64(p.valueMax))))
	none := make([]byte, v4Embedding)
	for i, e := range p.placed {
		binary.Write(out, order, p.slot(uint32(i), e))
		if !embeddings {
			continue
		}
		vector := none
		if e != nil && p.embeddings[e.Key] != nil {
			vector = p.embeddings[e.Key]
		}
		out.Write(vector)
	}
	empty := make([]byte, p.valueMax)
	for _, e := range p.placed {
		var value []byte
		if e != nil {
			value = e.Value
		}
		out.Write(value)
		out.Write(empty[len(value):])
	}
}

func (p *v4Plan) header(size uint64) []byte {
	head := make([]byte, v4HeaderSize)
	order.PutUint32(head, v4Magic)
	order.PutUint32(head[4:], v4Version)
	order.PutUint32(head[8:], p.slots)
	order.PutUint32(head[12:], p.valueMax)
	order.PutUint64(head[16:], 1+uint64(len(p.keys)))
	head[24] = v4ScrubDefaults
	order.PutUint32(head[32:], uint32(size))
	for i := range 64 {
		head[v4GroupMap+i] = 0xFF
	}
	order.PutUint32(head[v4EventFD:], math.MaxUint32) // -1
	return head
}

func (p *v4Plan) slot(i uint32, e *Entry) v4Slot {
	s := v4Slot{ValueOffset: i * p.valueMax, Type: 1}
	if e == nil {
		return s
	}
	s.Hash, s.Epoch = fnv1a(e.Key), 2*max(e.Version, 1)
	s.ValueLength, s.Labels = uint32(len(e.Value)), e.Labels
	s.Type, _ = typeFlag(e.Type)
	copy(s.Key[:], e.Key)
	return s
}
