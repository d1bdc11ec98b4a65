package power

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheEndComesInItsOrderEvenWhenStepsFail(t *testing.T) {
	var done []string
	step := func(name string, err error) func(context.Context) error {
		return func(context.Context) error { done = append(done, name); return err }
	}
	var console bytes.Buffer
	err := Down(Request{Off, "the power button was pressed"}, Steps{
		StopServices: step("services", errors.New("splinfer was killed")),
		KillRest:     step("rest", nil),
		Sync:         func() { done = append(done, "sync") },
		CloseData:    func() error { done = append(done, "data"); return errors.New("busy") },
		End:          func(a Action) error { done = append(done, string(a)); return nil },
	}, &console)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(done, " "); got != "services rest sync data sync off" {
		t.Errorf("done: %s", got)
	}
	for _, want := range []string{"Powering off: the power button was pressed.\r\n", "splinfer was killed", "busy"} {
		if !strings.Contains(console.String(), want) {
			t.Errorf("%q is missing on the console:\n%s", want, console.String())
		}
	}
}

func TestADefectInAStepDoesNotKeepTheMachineOn(t *testing.T) {
	ended := false
	var console bytes.Buffer
	Down(Request{Reboot, "asked"}, Steps{
		StopServices: func(context.Context) error { panic("nil map") },
		KillRest:     func(context.Context) error { return nil },
		Sync:         func() {},
		CloseData:    func() error { return nil },
		End:          func(a Action) error { ended = a == Reboot; return nil },
	}, &console)
	if !ended || !strings.Contains(console.String(), "nil map") {
		t.Errorf("ended %v:\n%s", ended, console.String())
	}
}

func event(kind, code uint16, value uint32) []byte {
	b := make([]byte, eventSize)
	binary.NativeEndian.PutUint16(b[16:], kind)
	binary.NativeEndian.PutUint16(b[18:], code)
	binary.NativeEndian.PutUint32(b[20:], value)
	return b
}

func TestOnlyThePressOfThePowerKeyCounts(t *testing.T) {
	press, sync := event(evKey, keyPower, 1), event(0, 0, 0)
	for name, c := range map[string]struct {
		events []byte
		want   bool
	}{
		"press":     {append(sync, press...), true},
		"release":   {event(evKey, keyPower, 0), false},
		"repeat":    {event(evKey, keyPower, 2), false},
		"other key": {event(evKey, 30, 1), false},
		"cut off":   {press[:20], false},
	} {
		if got := powerPressed(c.events); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestKernelThreadsAndTheDeadAreNoPrograms(t *testing.T) {
	proc := t.TempDir()
	for pid, stat := range map[string]string{
		"1":  "1 (gilgul) S 0 1 1 0 -1 4194560 0",
		"2":  "2 (kthreadd) S 0 0 0 0 -1 2129984 0",
		"70": "70 (odd) name) R 1 70 70 0 -1 4194304 0",
		"71": "71 (gone) Z 1 71 71 0 -1 4194304 0",
	} {
		folder := filepath.Join(proc, pid)
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "stat"), []byte(stat), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := programs(proc)
	if err != nil || len(got) != 1 || got[0] != "odd) name" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestADeviceWithoutKeysIsNoButton(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "event0"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if buttons := powerButtons(folder); len(buttons) != 0 {
		t.Errorf("%d buttons", len(buttons))
	}
}
