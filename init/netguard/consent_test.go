package netguard

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/services/hint"
)

func allow(t *testing.T, g *Guard, name string, d time.Duration) Consent {
	t.Helper()
	c, err := g.Allow(name, d, "uid 1000 at ttyS0")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAConsentIsForOneInterfaceAndForItsTime(t *testing.T) {
	guarded(t, three, func(t *testing.T, f *fake, g *Guard) {
		began := time.Now()
		c := allow(t, g, "eth0", 30*time.Minute)
		if c != (Consent{"eth0", began, began.Add(30 * time.Minute), "uid 1000 at ttyS0"}) {
			t.Errorf("consent: %+v", c)
		}
		f.want(t, "eth0")
		for _, other := range []Interface{eth1, lo, {Index: 9, Name: "eth0.1", Kind: "vlan"}} {
			f.set(up(other))
			f.want(t, "eth0")
		}
		f.set(eth0) // root may take it down and up again
		f.set(up(eth0))
		f.want(t, "eth0")
		time.Sleep(30*time.Minute - time.Nanosecond)
		f.want(t, "eth0")
		if list := g.Consents(); len(list) != 1 || list[0] != c {
			t.Errorf("consents: %v", list)
		}
		time.Sleep(time.Nanosecond)
		f.want(t)
		if list := g.Consents(); len(list) != 0 {
			t.Errorf("consents: %v", list)
		}
		f.set(up(eth0))
		f.want(t)
	})
}

func TestARenewedConsentLastsFromThenOn(t *testing.T) {
	guarded(t, three, func(t *testing.T, f *fake, g *Guard) {
		allow(t, g, "eth0", time.Minute)
		time.Sleep(50 * time.Second)
		allow(t, g, "eth0", time.Minute)
		time.Sleep(50 * time.Second)
		f.want(t, "eth0")
		time.Sleep(10 * time.Second)
		f.want(t)
		allow(t, g, "eth0", time.Hour)
		allow(t, g, "eth0", time.Minute) // it may be made shorter, too
		time.Sleep(time.Minute)
		f.want(t)
	})
}

// TestARenewalAtTheInstantOfTheEndIsOneOrTheOther lets both happen at the same
// instant, many times: whoever comes last, consent and interface agree.
func TestARenewalAtTheInstantOfTheEndIsOneOrTheOther(t *testing.T) {
	for range 100 {
		guarded(t, three, func(t *testing.T, f *fake, g *Guard) {
			allow(t, g, "eth0", time.Minute)
			var renewals sync.WaitGroup
			for range 3 {
				renewals.Go(func() { time.Sleep(time.Minute); allow(t, g, "eth0", time.Minute) })
			}
			renewals.Wait()
			f.want(t, "eth0")
			if list := g.Consents(); len(list) != 1 {
				t.Errorf("consents: %v", list)
			}
			renewals.Go(func() { time.Sleep(time.Minute); allow(t, g, "eth0", time.Minute) })
			renewals.Go(func() {
				time.Sleep(time.Minute)
				if err := g.Revoke("eth0", "a test"); err != nil {
					t.Error(err)
				}
			})
			renewals.Wait()
			synctest.Wait()
			if len(g.Consents()) == 1 {
				f.want(t, "eth0")
			} else {
				f.want(t)
			}
			time.Sleep(time.Minute)
			f.want(t)
		})
	}
}

func TestARevokedConsentEndsAtOnce(t *testing.T) {
	guarded(t, three, func(t *testing.T, f *fake, g *Guard) {
		allow(t, g, "eth0", time.Minute)
		allow(t, g, "eth1", time.Minute)
		f.want(t, "eth0", "eth1")
		for range 2 { // twice is no error
			if err := g.Revoke("eth0", "uid 1000"); err != nil {
				t.Error(err)
			}
			f.want(t, "eth1")
		}
		if err := g.Revoke("eth7", "uid 1000"); !errors.Is(err, ErrUnknown) {
			t.Errorf("got %v", err)
		}
		allow(t, g, "eth0", time.Minute)
		if err := g.Revoke("", "uid 1000"); err != nil {
			t.Error(err)
		}
		f.want(t)
		if list := g.Consents(); len(list) != 0 {
			t.Errorf("consents: %v", list)
		}
		if err := g.Revoke("", "uid 1000"); err != nil {
			t.Error(err)
		}
	})
}

func TestADefectOfTheGuardEndsEveryConsentAndTheGuardGoesOn(t *testing.T) {
	guarded(t, three, func(t *testing.T, f *fake, g *Guard) {
		allow(t, g, "eth0", time.Hour)
		f.want(t, "eth0")
		f.mu.Lock()
		f.panics = "nil dereference"
		f.mu.Unlock()
		f.set(up(eth1)) // the guard takes it down, and panics
		synctest.Wait()
		if list := g.Consents(); len(list) != 0 {
			t.Errorf("consents: %v", list)
		}
		time.Sleep(10 * retry)
		f.mu.Lock()
		f.panics = ""
		f.mu.Unlock()
		time.Sleep(retry)
		f.want(t)
		allow(t, g, "eth1", time.Hour)
		f.set(up(eth0))
		f.want(t, "eth1")
	})
}

func TestWhenTheGuardEndsSoDoesEveryConsent(t *testing.T) {
	var ended *fake
	var guard *Guard
	guarded(t, three, func(t *testing.T, f *fake, g *Guard) {
		allow(t, g, "eth0", time.Hour)
		allow(t, g, "eth1", time.Hour)
		f.want(t, "eth0", "eth1")
		ended, guard = f, g
	})
	if up := ended.isUp(); len(up) != 0 {
		t.Errorf("up are %v", up)
	}
	if _, err := guard.Allow("eth0", time.Minute, "a test"); !errors.Is(err, ErrNoWatch) {
		t.Errorf("got %v", err)
	}
}

func TestLostMessagesDoNotEndAConsent(t *testing.T) {
	guarded(t, three, func(t *testing.T, f *fake, g *Guard) {
		allow(t, g, "eth0", time.Minute)
		f.lost <- struct{}{}
		time.Sleep(time.Second)
		f.want(t, "eth0")
		time.Sleep(time.Minute)
		f.want(t)
	})
}

func TestAConsentIsToTheInterfaceAndNotToItsName(t *testing.T) {
	guarded(t, three, func(t *testing.T, f *fake, g *Guard) {
		allow(t, g, "eth0", time.Hour)
		f.set(Interface{Index: 2, Name: "wan", Kind: "device", Up: true})
		f.set(Interface{Index: 7, Name: "eth0", Kind: "veth", Up: true})
		f.want(t, "wan")
		if list := g.Consents(); len(list) != 1 || list[0].Interface != "wan" {
			t.Errorf("consents: %v", list)
		}
		f.set(Interface{Index: 2, Name: "wan", Gone: true})
		synctest.Wait()
		if list := g.Consents(); len(list) != 0 {
			t.Errorf("consents: %v", list)
		}
		f.set(Interface{Index: 8, Name: "wan", Kind: "device", Up: true}) // plugged in again
		f.want(t)
	})
}

func TestWhatMayNotBeAllowedIsAnErrorWithAHint(t *testing.T) {
	guarded(t, three, func(t *testing.T, f *fake, g *Guard) {
		for _, test := range []struct {
			name string
			d    time.Duration
			want error
		}{
			{"lo", time.Minute, ErrLoopback},
			{"eth7", time.Minute, ErrUnknown},
			{"", time.Minute, ErrUnknown},
			{"eth0", 0, ErrDuration},
			{"eth0", -time.Minute, ErrDuration},
			{"eth0", Longest + 1, ErrDuration},
		} {
			_, explained := g.Explain(test.name, test.d)
			_, allowed := g.Allow(test.name, test.d, "a test")
			for _, err := range []error{explained, allowed} {
				if !errors.Is(err, test.want) || test.want != ErrLoopback && hint.Of(err) == "" {
					t.Errorf("%q for %v: %v, hint %q", test.name, test.d, err, hint.Of(err))
				}
			}
		}
		f.want(t)
		if _, err := g.Allow("eth7", time.Minute, ""); !strings.Contains(hint.Of(err), "eth0 eth1") {
			t.Errorf("hint %q", hint.Of(err))
		}
	})
}

func TestWhatCannotBeBroughtUpIsNotAllowed(t *testing.T) {
	guarded(t, three, func(t *testing.T, f *fake, g *Guard) {
		f.refuseUp = errors.New("no such device")
		if _, err := g.Allow("eth0", time.Minute, "a test"); err == nil || !strings.Contains(err.Error(), "eth0") {
			t.Errorf("got %v", err)
		}
		if list := g.Consents(); len(list) != 0 {
			t.Errorf("consents: %v", list)
		}
		f.set(up(eth0))
		f.want(t)
	})
}

func TestEveryStepOfAConsentIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		f := newFake(eth0)
		g := New(f, hclog.New(&hclog.LoggerOptions{Output: &log}))
		g.watching = true
		allow(t, g, "eth0", time.Minute)
		allow(t, g, "eth0", time.Minute)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for _, part := range []string{
			`is allowed: interface=eth0 kind=device for=1m0s`, `by="uid 1000 at ttyS0"`, "replaced by a new one", `no longer allowed and was taken down: interface=eth0 why="its time is over"`,
		} {
			if !strings.Contains(log.String(), part) {
				t.Errorf("the log doesn't tell %q:\n%s", part, &log)
			}
		}
	})
}

func TestTheExplanationSaysWhatBecomesReachableAndWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(newFake(lo, eth0, Interface{Index: 5, Name: "veth0", Kind: "veth"}), hclog.NewNullLogger())
		e, err := g.Explain("eth0", 30*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(e.Reachable, "\n")
		for _, part := range []string{
			"eth0 is a wired network card: driver virtio_net, 1000 Mbit/s, address 52:54:00:12:34:56.", "can reach this machine",
			"started from a console", "root's programs can read everything", "services still have no network",
			"ends after 30m0s, at " + time.Now().Add(30*time.Minute).Format("2006-01-02 15:04:05"), "`runa net off`", "at a reboot",
		} {
			if !strings.Contains(text, part) {
				t.Errorf("it doesn't say %q:\n%s", part, text)
			}
		}
		if e, err := g.Explain("veth0", time.Minute); err != nil || !strings.Contains(e.Reachable[0], "made of software (veth)") {
			t.Errorf("%v, %v", e.Reachable, err)
		}
		if list := g.Consents(); len(list) != 0 {
			t.Errorf("consents: %v", list)
		}
	})
}
