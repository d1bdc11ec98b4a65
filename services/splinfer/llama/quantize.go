package llama

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"runa/services/gguf"
	"runa/services/hint"
)

// QuantizeOptions say what Quantize writes.
type QuantizeOptions struct {
	Type    string // one of QuantizeTypes, such as Q4_0
	Threads int    // 0: one

	// Progress, if set, is told how many of the model's tensors were begun. It is
	// called by a goroutine of its own, in order, and may miss some.
	Progress func(begun, total int)
}

// fileTypes are llama.h's llama_ftype of the types that need no importance
// matrix, which we have no words to make of.
var fileTypes = map[string]int32{
	"F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "Q4_0": 2, "Q4_1": 3, "Q5_0": 8, "Q5_1": 9,
	"Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15,
	"Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "IQ4_NL": 25, "IQ4_XS": 30,
}

// QuantizeTypes are the types that Quantize can write, by the alphabet.
func QuantizeTypes() []string {
	var names []string
	for name := range fileTypes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// quantizing allows one Quantize at a time: its progress is read from messages
// that don't say whose they are.
var quantizing sync.Mutex

// Quantize writes the model at in with weights of another type to out, which
// appears only when it is whole. A model that is quantised already loses a little more.
// When ctx ends, the work stops with the next tensor and the error wraps ErrAborted.
func (l *Library) Quantize(ctx context.Context, in, out string, o QuantizeOptions) error {
	fileType, known := fileTypes[o.Type]
	if !known {
		return hint.New(fmt.Errorf("quantize: type %.20q is unknown", o.Type), "the types are: %s", strings.Join(QuantizeTypes(), ", "))
	}
	if o.Threads = orDefault(o.Threads, 1); o.Threads < 1 || o.Threads > maxThreads {
		return fmt.Errorf("quantize: %d threads are not within 1 to %d", o.Threads, maxThreads)
	}
	if _, err := gguf.Open(in); err != nil {
		return fmt.Errorf("quantize: %w", err)
	}
	part := out + ".part"
	if err := checkOutput(in, out, part); err != nil {
		return fmt.Errorf("quantize: %w", err)
	}
	params := l.c.quantDefault()
	params.nThread, params.ftype, params.allowRequantize = int32(o.Threads), fileType, true
	if err := l.quantizeInto(ctx, in, part, params, o.Progress); err != nil {
		os.Remove(part)
		return fmt.Errorf("quantize %s: %w", in, err)
	}
	if err := publish(part, out); err != nil {
		os.Remove(part)
		return fmt.Errorf("quantize %s: %w", in, err)
	}
	return nil
}

// quantizeInto runs llama_model_quantize, which has neither a callback for
// progress nor a way to stop it: progress comes from its messages, and it is stopped
// by making its output refuse to be written to.
func (l *Library) quantizeInto(ctx context.Context, in, part string, params quantizeParams, tell func(begun, total int)) error {
	quantizing.Lock()
	defer quantizing.Unlock()
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrAborted, ctx.Err())
	}
	reports := newReports(tell)
	defer reports.close()
	var reason string
	defer collectErrors(&reason)()
	defer watchLog(func(_ int, line string) {
		var begun, total int
		if n, _ := fmt.Sscanf(line, "[%d/%d]", &begun, &total); n != 2 {
			return
		}
		reports.send(begun, total)
		if ctx.Err() != nil {
			refuseWrites(part)
		}
	})()
	result := l.c.quantize(in, part, &params)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrAborted, ctx.Err())
	case result != 0:
		return hint.New(fmt.Errorf("llama.cpp refused: %s", reason), "look whether the disk is full and whether the model loads")
	}
	return nil
}

// refuseWrites replaces the descriptor under which this process has path open by
// one that can only be read, so that the next write to it fails. It must be
// called while the owner of the descriptor can't close it: here from a message
// that the writing thread prints.
func refuseWrites(path string) {
	want, err := os.Stat(path)
	if err != nil {
		return
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := os.Stat("/proc/self/fd/" + e.Name())
		if err != nil || !os.SameFile(info, want) {
			continue
		}
		var number int
		if _, err := fmt.Sscan(e.Name(), &number); err != nil {
			continue
		}
		if null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
			_ = unix.Dup3(null, number, unix.O_CLOEXEC)
			unix.Close(null)
		}
	}
}

// publish makes a file that is whole appear under its name, and last.
func publish(part, out string) error {
	file, err := os.Open(part)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(part, out); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(out))
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// checkOutput refuses to put a model in the place of itself or of anything but
// another file, such as a device, and removes what an earlier run left behind.
func checkOutput(in, out, part string) error {
	model, err := os.Stat(in)
	if err != nil {
		return err
	}
	for _, path := range []string{out, part} {
		info, err := os.Lstat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is there and is not a regular file", path)
		}
		if os.SameFile(model, info) {
			return fmt.Errorf("%s is the model itself", path)
		}
	}
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// reports carries progress out of a C callback to a function that may take its time.
type reports struct {
	latest chan [2]int
	ended  chan struct{}
}

func newReports(tell func(begun, total int)) *reports {
	r := &reports{latest: make(chan [2]int, 1), ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		for report := range r.latest {
			if tell != nil {
				tell(report[0], report[1])
			}
		}
	}()
	return r
}

// send replaces what was not told yet.
func (r *reports) send(begun, total int) {
	select {
	case <-r.latest:
	default:
	}
	r.latest <- [2]int{begun, total}
}

func (r *reports) close() {
	close(r.latest)
	<-r.ended
}
