package progress

import (
	"strings"
	"testing"
	"time"
)

func TestALogShowsShareDoneAndTimeLeftEveryTenSeconds(t *testing.T) {
	var out strings.Builder
	clock := time.Unix(0, 0)
	p := New(&out)
	p.now = func() time.Time { return clock }
	task := p.Task("kernel")
	for i := range int64(40) {
		clock = clock.Add(time.Second)
		task.Set(i+1, 40, "files")
	}
	task.Done()
	want := "kernel ...\n" +
		"kernel: 25 % (10 of 40 files), about 33s left\n" +
		"kernel: 50 % (20 of 40 files), about 21s left\n" +
		"kernel: 75 % (30 of 40 files), about 10s left\n" +
		"kernel: 100 % (40 of 40 files), about 0s left\n" +
		"kernel: done in 40s\n"
	if out.String() != want {
		t.Fatalf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestANilPrinterIsSilent(t *testing.T) {
	var p *Printer
	task := p.Task("x")
	task.Set(1, 2, "bytes")
	task.Note("y")
	task.Done()
}
