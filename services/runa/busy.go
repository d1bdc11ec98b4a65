package runa

import (
	"context"
	"fmt"

	"runa/init/control"
	"runa/services/rmp"
	"runa/services/splinter"
)

// wholeStatus is what `runa status --json` prints.
type wholeStatus struct {
	control.Status
	Inference *inferenceStatus `json:"inference,omitempty"` // nil: splinfer did not answer at once
}

// inferenceStatus is rmp.Stats for programs that read JSON.
type inferenceStatus struct {
	Model            string  `json:"model"`
	Answering        uint32  `json:"answering"`
	Waiting          uint32  `json:"waiting"`
	Seats            uint32  `json:"seats"`
	KVTokens         uint64  `json:"kv_tokens"`
	KVSize           uint64  `json:"kv_size"`
	SavedBytes       uint64  `json:"saved_bytes"`
	TokensPerSecond  float64 `json:"tokens_per_second"`
	PrefillPerSecond float64 `json:"prefill_per_second"`
	Tokens           uint64  `json:"tokens"`
	Threads          uint32  `json:"threads"`
	Conversations    uint32  `json:"conversations"`
}

// glance asks how busy inference is, and returns nil if that is not known at once:
// whoever asks how the parts are must not wait for one that is ill.
func (e Environment) glance(ctx context.Context) *rmp.Stats {
	ctx, cancel := context.WithTimeout(ctx, e.Glance)
	defer cancel()
	answered := make(chan *rmp.Stats, 1)
	go func() { answered <- e.stats(ctx) }()
	select {
	case stats := <-answered:
		return stats
	case <-ctx.Done(): // to open a bus may take long where somebody holds its lock
		return nil
	}
}

func (e Environment) stats(ctx context.Context) *rmp.Stats {
	bus, err := splinter.Open(e.Bus)
	if err != nil {
		return nil
	}
	model := &inference{bus: bus, now: e.Now, trace: e.Trace}
	defer model.Close()
	connection, err := bus.Dial(ctx, listener)
	if err != nil {
		return nil
	}
	defer connection.Close()
	var stats rmp.Stats
	err = model.ask(ctx, connection, question{schema: rmp.SchemaStatsRequest, payload: rmp.StatsRequest{}, wants: rmp.SchemaStats}, &stats)
	if err != nil {
		return nil
	}
	return &stats
}

// speedLine says which model works for how many, and how fast.
func speedLine(s rmp.Stats) string {
	name := oneLine(s.Model)
	if name == "" {
		name = "none loaded"
	}
	return fmt.Sprintf("%s; %s tokens/s written, %s read; answering %d of %d, queue %d",
		name, rate(s.TokensPerSecond), rate(s.PrefillPerSecond), s.Answering, s.Seats, s.Waiting)
}

// rate writes tokens per second.
func rate(perSecond float64) string {
	if perSecond > 0 && perSecond < 100 {
		return fmt.Sprintf("%.1f", perSecond)
	}
	return fmt.Sprintf("%.0f", perSecond)
}

// roomLine says how much of the room for conversations is taken, in memory and beside it.
func roomLine(s rmp.Stats) string {
	used := "no room yet"
	if s.KVSize > 0 {
		used = fmt.Sprintf("%.0f %% of %d tokens used", 100*float64(s.KVTokens)/float64(s.KVSize), s.KVSize)
	}
	return fmt.Sprintf("%s; saved states %s; conversations kept %d", used, size(s.SavedBytes), s.Conversations)
}
