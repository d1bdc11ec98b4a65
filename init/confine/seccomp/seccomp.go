// Package seccomp owns which system calls a service may make: profiles, which
// are lists, and the filters that the kernel runs for them (seccomp(2)). What a
// profile does not list is refused. It must never allow a call because it is
// not known here.
//
// # What a filter answers
//
// An allowed call goes on. A few calls that programs try first and can do
// without (clone3) fail with an error that makes them take the other way; nobody
// is told. Every other call is refused: if gilgul listens it is told the call
// and its arguments and answers EPERM, or else the kernel answers EPERM itself.
// A call in the ways of another architecture kills the process: its numbers mean
// other calls.
package seccomp

import (
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Rule says when a call is allowed: always, or if one of its matches holds.
type Rule struct {
	Call  string
	When  []Match       // none: always
	Error syscall.Errno // answered otherwise, without telling anybody; 0: it is refused
	Never bool          // not even then; for calls that only have an Error
}

// Match holds if all of its tests hold.
type Match []Test

// Test looks at one argument, of which the kernel uses the low 32 bits for all
// calls in our profiles, unless Zero asks for all 64. One of the three is set.
type Test struct {
	Arg   int
	In    []uint32 // it is one of these
	Clear uint32   // none of these bits is set
	Zero  bool     // it is 0, such as a pointer that is not given
}

// Where the kernel puts what a filter sees (struct seccomp_data).
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

// Filter returns the program for a profile; report says that gilgul listens.
func Filter(profile string, report bool) ([]bpf.RawInstruction, error) {
	rules, err := Profile(profile)
	if err != nil {
		return nil, err
	}
	var refuse bpf.Instruction = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	if report {
		refuse = bpf.RetConstant{Val: unix.SECCOMP_RET_USER_NOTIF}
	}
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
		bpf.LoadAbsolute{Off: offsetNumber, Size: 4},
	}
	program = append(program, search(spans(rules, refuse))...)
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, fmt.Errorf("assemble the profile %q: %w", profile, err)
	}
	return raw, nil
}

// span is what happens to the calls from a number up to the next span's.
type span struct {
	from uint32
	code []bpf.Instruction
}

// spans turns rules into spans over all numbers. Neighbours that are treated
// alike are one span.
func spans(rules []Rule, refuse bpf.Instruction) []span {
	codes := map[uint32][]bpf.Instruction{}
	for _, r := range rules {
		if number, known := Number(r.Call); known {
			codes[number] = r.code(refuse)
		}
	}
	numbers := make([]uint32, 0, len(codes))
	for number := range codes {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	otherwise := []bpf.Instruction{refuse}
	all := []span{{0, otherwise}}
	add := func(from uint32, code []bpf.Instruction) {
		if last := &all[len(all)-1]; last.from == from {
			last.code = code
		} else {
			all = append(all, span{from, code})
		}
		if n := len(all); n > 1 && slices.Equal(all[n-2].code, all[n-1].code) {
			all = all[:n-1]
		}
	}
	for _, number := range numbers {
		add(number, codes[number])
		add(number+1, otherwise)
	}
	return all
}

// search is a binary search for the span of the number in the accumulator. The
// kernel tries a new filter with every number, so its depth counts at start.
func search(all []span) []bpf.Instruction {
	if len(all) == 1 {
		return all[0].code
	}
	middle := len(all) / 2
	left, right := search(all[:middle]), search(all[middle:])
	var code []bpf.Instruction
	if pivot := all[middle].from; len(left) <= 255 {
		code = []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: pivot, SkipTrue: uint8(len(left))}}
	} else { // farther than a conditional jump goes
		code = []bpf.Instruction{
			bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: pivot, SkipFalse: 1},
			bpf.Jump{Skip: uint32(len(left))},
		}
	}
	return slices.Concat(code, left, right)
}

// code decides over a call that the rule is for.
func (r Rule) code(refuse bpf.Instruction) []bpf.Instruction {
	allow := bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	if r.Error != 0 {
		refuse = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(r.Error)}
	}
	if r.Never {
		return []bpf.Instruction{refuse}
	}
	if len(r.When) == 0 {
		return []bpf.Instruction{allow}
	}
	var code []bpf.Instruction
	for _, m := range r.When {
		code = append(code, m.code(allow)...)
	}
	return append(code, refuse)
}

// code returns what its tests decide, or goes on behind itself. It is made
// from its end, because a test that fails jumps there.
func (m Match) code(then bpf.Instruction) []bpf.Instruction {
	code := []bpf.Instruction{then}
	for _, t := range slices.Backward(m) {
		code = append(t.code(uint8(len(code))), code...)
	}
	return code
}

// code goes on behind itself if the test holds, and skips so many instructions
// more if it fails.
func (t Test) code(skip uint8) []bpf.Instruction {
	low := uint32(offsetArgs + 8*t.Arg)
	code := []bpf.Instruction{bpf.LoadAbsolute{Off: low, Size: 4}}
	switch {
	case t.Zero:
		return append(code,
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipFalse: skip + 2},
			bpf.LoadAbsolute{Off: low + 4, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipFalse: skip})
	case t.Clear != 0:
		return append(code, bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: t.Clear, SkipTrue: skip})
	}
	for i, value := range t.In {
		rest := uint8(len(t.In) - 1 - i) // tests that are left
		jump := bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: rest}
		if rest == 0 {
			jump.SkipFalse = skip
		}
		code = append(code, jump)
	}
	return code
}

// Number is the number of a call here; not known: this architecture has none
// of that name.
func Number(call string) (uint32, bool) {
	for _, n := range numbers {
		if n.name == call {
			return n.number, true
		}
	}
	return 0, false
}

// Name is the name of the call with a number.
func Name(number int32) string {
	for _, n := range numbers {
		if n.number == uint32(number) {
			return n.name
		}
	}
	return fmt.Sprintf("number-%d", uint32(number))
}
