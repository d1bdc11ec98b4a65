package health

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// whole looks at the samples, one each MachineEvery, and returns the sentences.
func whole(samples ...MachineSample) []string {
	var m Machine
	var said []string
	for n, s := range samples {
		for _, notice := range m.Look(start.Add(time.Duration(n)*MachineEvery), s) {
			said = append(said, notice.What)
		}
	}
	return said
}

func times(n int, s MachineSample) []MachineSample { return slices.Repeat([]MachineSample{s}, n) }

func TestAShortageIsToldOnceWhenItLastsAndOnceWhenItIsOver(t *testing.T) {
	short := MachineSample{Full: Pressure{Memory: 80}}
	for _, c := range []struct {
		name    string
		samples []MachineSample
		want    []string
	}{
		{"calm", times(20, MachineSample{Some: Pressure{Memory: 90, IO: 90}}), nil},
		{"memory", times(20, short), []string{"the machine is short of memory: programs wait 80 % of the time"}},
		{"over again", slices.Concat(times(20, short), times(3, MachineSample{})), []string{
			"the machine is short of memory: programs wait 80 % of the time", "the machine is no longer short of memory",
		}},
		{"too short to tell", slices.Concat(times(3, short), times(1, MachineSample{}), times(3, short)), nil},
		{"processors", times(20, MachineSample{Some: Pressure{CPU: 99}}), []string{"the machine is short of processors: programs wait 99 % of the time"}},
		{"disk", times(20, MachineSample{Full: Pressure{IO: 70}}), []string{"the machine is short of disk: programs wait 70 % of the time"}},
		{"kills", slices.Concat(times(1, MachineSample{OOMKills: 3}), times(2, MachineSample{OOMKills: 5})), []string{"the kernel killed 2 processes for want of memory"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := whole(c.samples...); !slices.Equal(got, c.want) {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestAStandstillIsTold(t *testing.T) {
	var m Machine
	m.Look(start, MachineSample{})
	got := m.Look(start.Add(time.Hour), MachineSample{})
	if len(got) != 1 || got[0].What != "the machine stood still for 1h0m0s" {
		t.Errorf("%+v", got)
	}
	if got = m.Look(start.Add(time.Hour+MachineEvery), MachineSample{}); len(got) > 0 {
		t.Errorf("%+v", got)
	}
}

func TestTheMachineIsLookedAtEverySecondUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*MachineEvery+MachineEvery/2)
		defer cancel()
		looks := 0
		var told []Notice
		WatchMachine(ctx, func() MachineSample {
			looks++
			if looks == 3 {
				panic("a defect in reading")
			}
			return MachineSample{OOMKills: uint64(looks / 5)}
		}, func(n Notice) { told = append(told, n) })
		if looks != 11 || len(told) != 2 {
			t.Errorf("%d looks, told %+v", looks, told)
		}
	})
}
