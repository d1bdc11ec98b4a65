package kernel

import (
	"fmt"
	"strings"
	"testing"
)

// makeLog is a piece of what a real kernel build prints.
const makeLog = `  SYNC    include/config/auto.conf
  HOSTCC  arch/x86/tools/relocs_64.o
  CC      init/main.o
  VDSO2C  arch/x86/entry/vdso/vdso-image-64.c
init/main.c: In function 'start_kernel':
init/main.c:1:2: warning: something
   CC      not a step, three spaces
  in lower case
  CC
  AR      init/built-in.a
Setup is 16188 bytes (padded to 16384 bytes).
  BUILD   arch/x86/boot/bzImage
Kernel: arch/x86/boot/bzImage is ready  (#1)
`

func TestStepsAreCountedAndProgressNeverGoesBackOrEndsEarly(t *testing.T) {
	const real = 6
	for _, total := range []int{0, 1, real - 2, real, real + 2} {
		for _, piece := range []int{1, 7, len(makeLog)} { // make's output arrives in pieces of any size
			var shown []int
			steps := &stepCounter{total: total, report: func(done, of int) {
				if of != total {
					t.Errorf("total reported as %d, want %d", of, total)
				}
				shown = append(shown, done)
			}}
			for rest := makeLog; rest != ""; {
				n := min(piece, len(rest))
				if _, err := steps.Write([]byte(rest[:n])); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if steps.done != real {
				t.Errorf("pieces of %d: counted %d steps, want %d", piece, steps.done, real)
			}
			last := 0
			for _, n := range shown {
				if n < last {
					t.Errorf("total %d: progress went back from %d to %d", total, last, n)
				}
				if total > 0 && n >= total {
					t.Errorf("total %d: progress showed %d before the end", total, n)
				}
				last = n
			}
		}
	}
}

func TestAnEstimateHoldsWithinTwoPercent(t *testing.T) {
	for _, c := range []struct {
		done, total int
		want        bool
	}{{1000, 1000, true}, {1000, 980, true}, {1000, 1020, true}, {1000, 979, false}, {1000, 1021, false}, {1000, 0, false}} {
		if got := (&stepCounter{done: c.done, total: c.total}).estimateHolds(); got != c.want {
			t.Errorf("%d steps where %d were expected: %v, want %v", c.done, c.total, got, c.want)
		}
	}
}

func TestTheLastTwentyLinesAreKeptWholeAndInOrder(t *testing.T) {
	var last tail
	var want []string
	for i := range 50 {
		fmt.Fprintf(&last, "line %d\n", i)
		if i >= 50-tailLines {
			want = append(want, fmt.Sprintf("line %d", i))
		}
	}
	if got := last.String(); got != strings.Join(want, "\n") {
		t.Errorf("kept:\n%s", got)
	}
	fmt.Fprint(&last, "cut off")
	if got := last.String(); !strings.HasSuffix(got, "line 49\ncut off") {
		t.Errorf("a line without its end is missing:\n%s", got)
	}
}
