package control

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// visit lets (user, pid) in through d, whose limits are small.
func visit(d *door, user uint32, pid int32) (g *guest, let bool) {
	g = &guest{user: user, pid: pid, shut: func() {}}
	return g, d.enter(g)
}

func TestAFloodingProcessGivesWayToOthersOfItsUser(t *testing.T) {
	d := door{limit: bounds{process: 3, user: 6, all: 100}}
	for range 10 {
		visit(&d, 1000, 7)
	}
	if n := len(d.inside); n != 3 {
		t.Fatalf("the process holds %d", n)
	}
	for pid := range int32(20) {
		if _, let := visit(&d, 1000, 100+pid); !let {
			t.Fatalf("process %d was kept out", 100+pid)
		}
	}
	if n := count(d.inside, func(g *guest) bool { return g.pid == 7 }); n > 1 {
		t.Errorf("the flooding process still holds %d", n)
	}
}

func TestAmongEqualsTheOldestGivesWay(t *testing.T) {
	d := door{limit: bounds{process: 3, user: 6, all: 100}}
	for pid := range int32(8) {
		visit(&d, 1000, pid)
	}
	var inside []int32
	for _, g := range d.inside {
		inside = append(inside, g.pid)
	}
	if want := []int32{2, 3, 4, 5, 6, 7}; !slices.Equal(inside, want) {
		t.Errorf("inside are %v", inside)
	}
}

func TestUsersThatFloodTogetherKeepNobodyElseOut(t *testing.T) {
	d := door{limit: bounds{process: 3, user: 6, all: 12}}
	for n := range int32(100) {
		visit(&d, 100+uint32(n%4), 1000+n%20)
	}
	g, let := visit(&d, 0, 1)
	for n := range int32(100) {
		visit(&d, 100+uint32(n%4), 2000+n)
	}
	if !let || !slices.Contains(d.inside, g) {
		t.Errorf("root was let in: %v, and may stay: %v", let, slices.Contains(d.inside, g))
	}
}

func TestShedFreesOnesDescriptorAfterTheOther(t *testing.T) {
	d := door{limit: usualBounds}
	var shut []int32
	for _, pid := range []int32{1, 2, 2, 3} {
		d.enter(&guest{user: 1000, pid: pid, shut: func() { shut = append(shut, pid) }})
	}
	for d.shed() {
	}
	if want := []int32{2, 1, 2, 3}; !slices.Equal(shut, want) {
		t.Errorf("shut in the order %v, want %v", shut, want)
	}
}

func TestTheDoorKeepsItsBoundsAndLetsEachNewProcessIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := bounds{process: rapid.IntRange(1, 4).Draw(t, "process"), user: rapid.IntRange(2, 8).Draw(t, "user")}
		limit.all = rapid.IntRange(2, 20).Draw(t, "all")
		d := door{limit: limit}
		shut := map[*guest]bool{}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			if len(d.inside) > 0 && rapid.IntRange(0, 3).Draw(t, "leaves") == 0 {
				d.leave(rapid.SampledFrom(d.inside).Draw(t, "who"))
				continue
			}
			g := &guest{user: rapid.Uint32Range(0, 4).Draw(t, "uid"), pid: rapid.Int32Range(1, 10).Draw(t, "pid")}
			g.shut = func() { shut[g] = true }
			before := slices.Clone(d.inside)
			checkEntry(t, before, g, d.enter(g), shut)
			checkBounds(t, &d)
			for _, inside := range d.inside {
				if shut[inside] {
					t.Fatal("one who was shut out is still counted")
				}
			}
		}
	})
}

// checkEntry checks what enter did to those inside and to the newcomer.
func checkEntry(t *rapid.T, before []*guest, g *guest, let bool, shut map[*guest]bool) {
	mine := count(before, g.sameProcess)
	if !let && mine == 0 {
		t.Fatal("a process without a connection was turned away")
	}
	gone := 0
	for _, other := range before {
		if !shut[other] {
			continue
		}
		gone++
		if theirs := count(before, other.sameProcess); other.user == g.user && theirs < mine {
			t.Fatalf("a process with %d gave way to one with %d", theirs, mine)
		}
	}
	if gone > 1 || gone > 0 && !let {
		t.Fatalf("%d were shut out, and the newcomer let in: %v", gone, let)
	}
}

// checkBounds checks that nobody holds more than he may.
func checkBounds(t interface{ Fatalf(string, ...any) }, d *door) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.inside) > d.limit.all {
		t.Fatalf("%d are inside", len(d.inside))
	}
	users, processes := map[uint32]int{}, map[string]int{}
	for _, g := range d.inside {
		users[g.user]++
		processes[fmt.Sprint(g.user, "/", g.pid)]++
	}
	for user, n := range users {
		if n > d.limit.user {
			t.Fatalf("user %d holds %d", user, n)
		}
	}
	for process, n := range processes {
		if n > d.limit.process {
			t.Fatalf("process %s holds %d", process, n)
		}
	}
}
