package splinfer

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinfer/llama"
)

// loaded is a model with its context and the seats in it.
type loaded struct {
	file     modelFile
	model    *llama.Model
	context  *llama.Context
	seats    []*seat
	lora     []string // the adapters it computes with, as they were asked for
	adapters []*llama.Adapter
}

func (e *engine) loadedName() string {
	if name := e.name.Load(); name != nil {
		return *name
	}
	return ""
}

// serves says whether what is loaded is what a request wants.
func (e *engine) serves(name string, lora []string) bool {
	return e.current != nil && e.current.file.name == name && slices.Equal(e.current.lora, lora)
}

// use loads the model of that name with these adapters in place of the current
// one. Nobody may be being answered.
func (e *engine) use(name string, lora []string) error {
	if e.current == nil || e.current.file.name != name {
		if err := e.change(name); err != nil {
			return err
		}
	}
	return e.adapt(lora)
}

func (e *engine) change(name string) error {
	file, err := e.folder.inspect(name)
	if err != nil {
		return err
	}
	if file.info.EmbedsOnly {
		err := fmt.Errorf("use model %s: it makes vectors of text and can't write any", name)
		return fail(rmp.CodeModelInvalid, hint.New(err, "runa models lists those that write"))
	}
	seats, err := e.afford(file)
	if err != nil {
		return fail(rmp.CodeModelInvalid, err)
	}
	e.unload()
	started := e.o.Now()
	e.progress.begin(started, loadAllowance(file.info.FileBytes))
	if err := e.load(file, seats); err != nil {
		return fail(rmp.CodeModelInvalid, err)
	}
	e.o.Log.Info("model loaded", "model", name, "description", e.current.model.Description(),
		"bytes", file.info.FileBytes, "context", e.current.context.Size(), "conversations", seats, "threads", e.o.Threads,
		"ms", e.o.Now().Sub(started).Milliseconds())
	return nil
}

// afford is for how many conversations at once there is memory beside what stays.
func (e *engine) afford(file modelFile) (int, error) {
	available, err := e.o.Available()
	if err != nil {
		return 0, fmt.Errorf("load model %s: %w", file.path, err)
	}
	if e.current != nil {
		available += e.current.file.memory(e.current.context.Size(), len(e.current.seats))
	}
	seats := e.o.Parallel
	for seats > 1 && file.memory(e.o.Context, seats) > available/4*3 {
		seats--
	}
	if need := file.memory(e.o.Context, seats); need > available {
		err := fmt.Errorf("load model %s: it needs about %d MiB of memory and %d MiB are available", file.path, need>>20, available>>20)
		return 0, hint.New(err, "use a smaller model, a smaller --ctx-size, or give the machine more memory")
	}
	return seats, nil
}

func (e *engine) load(file modelFile, seats int) error {
	model, err := e.library.Load(file.path, llama.LoadOptions{Progress: func(float32) bool {
		e.progress.begin(e.o.Now(), loadAllowance(file.info.FileBytes))
		return true
	}})
	if err != nil {
		return err
	}
	l := &loaded{file: file, model: model}
	if err := e.sit(l, seats); err != nil {
		model.Close()
		return fmt.Errorf("load model %s: %w", file.path, err)
	}
	e.current = l
	e.name.Store(&l.file.name)
	return nil
}

// sit makes a context with that many seats.
func (e *engine) sit(l *loaded, seats int) error {
	context, err := l.model.NewContext(llama.ContextOptions{
		Size: e.o.Context, Sequences: seats, Apart: true, FlashAttention: l.file.attention(e.o.FlashAttention),
		Batch: e.o.Batch, MicroBatch: e.o.MicroBatch, Threads: e.threads, ThreadsBatch: max(e.threads, e.o.ThreadsBatch),
	})
	if err != nil {
		return err
	}
	l.context, l.seats = context, newSeats(seats)
	return nil
}

// exactBits is how many bits weights need for llama.cpp's sums not to depend on how
// many rows it computes together.
const exactBits = 8

// attention decides about flash attention where it was left open: it is off where
// that keeps what is computed beside an answer from changing its last bits.
func (f modelFile) attention(asked llama.FlashAttention) llama.FlashAttention {
	if asked == llama.FlashAuto && f.info.LeastBits >= exactBits {
		return llama.FlashOff
	}
	return asked
}

// adapt makes the model compute with these adapters and no others.
func (e *engine) adapt(lora []string) error {
	if slices.Equal(e.current.lora, lora) {
		return nil
	}
	e.clear()
	e.current.context.Clear()
	e.current.removeAdapters()
	if err := e.addAdapters(lora); err != nil {
		e.current.removeAdapters()
		return err
	}
	return nil
}

func (e *engine) addAdapters(lora []string) error {
	l := e.current
	var scales []llama.AdapterScale
	for _, text := range lora {
		name, scale, given := strings.Cut(text, "=")
		factor := 1.0
		if given {
			var err error
			if factor, err = strconv.ParseFloat(scale, 32); err != nil {
				return fail(rmp.CodeParameterInvalid, hint.New(errors.New("parameter lora: a scale is no number"), "such as NAME=0.5"))
			}
		}
		path, err := e.folder.adapter(name)
		if err != nil {
			return err
		}
		adapter, err := l.model.LoadAdapter(path)
		if err != nil {
			return fail(rmp.CodeModelInvalid, err)
		}
		l.adapters = append(l.adapters, adapter)
		scales = append(scales, llama.AdapterScale{Adapter: adapter, Scale: float32(factor)})
	}
	if err := l.context.SetAdapters(scales...); err != nil {
		return fail(rmp.CodeModelInvalid, err)
	}
	l.lora = slices.Clone(lora)
	return nil
}

func (l *loaded) removeAdapters() {
	_ = l.context.SetAdapters()
	for _, a := range l.adapters {
		a.Close()
	}
	l.adapters, l.lora = nil, nil
}

// clear empties all seats; what conversations have there is kept elsewhere.
func (e *engine) clear() {
	for _, s := range e.current.seats {
		e.evict(s)
	}
}

// unload gives the model's memory back. Nobody may be being answered.
func (e *engine) unload() {
	if e.current == nil {
		return
	}
	e.name.Store(nil)
	e.clear()
	e.current.context.Clear()
	e.current.removeAdapters()
	e.current.context.Close()
	e.current.model.Close()
	e.current = nil
}

// reseat makes the context anew with another number of seats.
func (e *engine) reseat(seats int) error {
	l := e.current
	e.clear()
	lora := l.lora
	l.context.Clear()
	l.removeAdapters()
	l.context.Close()
	if err := e.sit(l, seats); err != nil {
		l.model.Close()
		e.current = nil
		e.name.Store(nil)
		return err
	}
	return e.adapt(lora)
}
