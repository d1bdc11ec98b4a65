// Package contain keeps a panic in one of gilgul's goroutines from being the
// end of PID 1, and with it of the machine. Every goroutine of init is started
// by Go, and code that touches what others own (a bus's file, a plug-in) runs
// in Call. It must never hide a panic: each one is reported with its stack.
//
// What Go's runtime itself ends a program for (out of memory, concurrent map
// writes, a stack that grew too large) can't be contained; the kernel then
// starts the machine again.
package contain

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
)

// Panic is a panic that was contained, as an error.
type Panic struct {
	Name  string // what was being done
	Value any    // what panic was called with
	Stack string
}

// Error tells what was being done and what went wrong, without the stack.
func (p *Panic) Error() string { return fmt.Sprintf("%s: a defect in gilgul: %v", p.Name, p.Value) }

var reporter atomic.Pointer[func(*Panic)]

// Report sets who is told of every contained panic, from any goroutine. Until
// then they are counted only.
func Report(to func(*Panic)) { reporter.Store(&to) }

var count atomic.Uint64

// Count is how many panics were contained since the start.
func Count() uint64 { return count.Load() }

// Go runs f in a goroutine of its own; name says what it does, in words for a
// person. A panic ends f only.
func Go(name string, f func()) {
	go func() {
		_ = Call(name, func() error { f(); return nil })
	}()
}

// Call runs f and returns its error; a panic becomes a *Panic. Faults on mapped
// memory, such as a file that was cut off, are panics here too.
func Call(name string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if value := recover(); value != nil {
			p := &Panic{Name: name, Value: value, Stack: string(debug.Stack())}
			count.Add(1)
			tell(p)
			err = p
		}
	}()
	return f()
}

// tell reports, and survives a reporter that panics itself.
func tell(p *Panic) {
	defer func() { _ = recover() }()
	if to := reporter.Load(); to != nil {
		(*to)(p)
	}
}
