package control

import (
	"errors"
	"strings"
	"testing"
	"time"

	"runa/services/hint"
)

func TestANetworkIsAllowedOnceAfterItWasExplained(t *testing.T) {
	f := newFake()
	c := NewClient(start(t, f, testSettings(Peer{UID: OwnerUID})))
	explanation, err := c.ExplainNet(t.Context(), "eth0", time.Minute)
	if err != nil || explanation.Interface != "eth0" || explanation.For != time.Minute || len(explanation.Reachable) == 0 {
		t.Fatalf("got %+v, %v", explanation, err)
	}
	request := NetRequest{"eth0", time.Minute, explanation.Token}
	consent, err := c.AllowNet(t.Context(), request)
	if err != nil || consent.Until.Sub(consent.Since) != time.Minute {
		t.Fatalf("got %+v, %v", consent, err)
	}
	if got := <-f.did; got != "allow eth0 for 1m0s by 1000" {
		t.Errorf("the backend was asked to %s", got)
	}
	if _, err := c.AllowNet(t.Context(), request); !errors.Is(err, ErrConflict) || hint.Of(err) == "" {
		t.Errorf("the second time: %v", err)
	}
	if len(f.did) != 0 {
		t.Errorf("the backend was asked to %s", <-f.did)
	}
}

func TestOnlyWhatWasExplainedIsAllowed(t *testing.T) {
	f := newFake()
	c := NewClient(start(t, f, testSettings(root)))
	for name, change := range map[string]func(*NetRequest){
		"another interface": func(r *NetRequest) { r.Interface = "eth1" },
		"a longer time":     func(r *NetRequest) { r.For *= 2 },
		"a guessed token":   func(r *NetRequest) { r.Token = strings.Repeat("A", 26) },
		"no token":          func(r *NetRequest) { r.Token = "" },
	} {
		explanation, err := c.ExplainNet(t.Context(), "eth0", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		request := NetRequest{"eth0", time.Minute, explanation.Token}
		change(&request)
		if _, err := c.AllowNet(t.Context(), request); !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(f.did) != 0 {
		t.Errorf("the backend was asked to %s", <-f.did)
	}
}

func TestATokenIsForOneUserAndForAFewMinutes(t *testing.T) {
	now := time.Unix(0, 0)
	known := tokens{now: func() time.Time { return now }}
	mine := offer{"eth0", time.Minute, 1000}
	other := mine
	other.uid = 0
	if known.redeem(known.issue(mine), other) {
		t.Error("another user redeemed it")
	}
	old := known.issue(mine)
	now = now.Add(tokenLife - 1)
	young := known.issue(mine)
	now = now.Add(1)
	if known.redeem(old, mine) || !known.redeem(young, mine) {
		t.Error("the time of a token is not kept")
	}
	for range 10 * maxTokens {
		known.issue(mine)
	}
	if len(known.given) != maxTokens {
		t.Errorf("%d tokens are kept", len(known.given))
	}
}

func TestASillyConsentIsRefusedBeforeAnybodyIsAsked(t *testing.T) {
	c := NewClient(start(t, newFake(), testSettings(root)))
	for _, x := range []struct {
		iface string
		d     time.Duration
		kind  error
	}{
		{"eth0", 0, ErrInvalid},
		{"eth0", -time.Minute, ErrInvalid},
		{"eth0", MaxConsent + 1, ErrInvalid},
		{"", time.Minute, ErrInvalid},
		{"../eth0", time.Minute, ErrInvalid},
		{"an interface's name is short", time.Minute, ErrInvalid},
		{"eth9", time.Minute, ErrNotFound},
	} {
		if _, err := c.ExplainNet(t.Context(), x.iface, x.d); !errors.Is(err, x.kind) {
			t.Errorf("%q for %v: %v", x.iface, x.d, err)
		}
	}
}

func TestABodyIsReadStrictly(t *testing.T) {
	for text, want := range map[string]string{
		`{"interface":"eth0","for_ns":1,"token":"t"}`: "",
		``:                     "EOF",
		`{"iface":"eth0"}`:     `unknown field "iface"`,
		`{"interface":5}`:      "cannot unmarshal",
		`{} {}`:                "more than one value",
		`{"for_ns":1e99}`:      "cannot unmarshal",
		`{"interface":"eth0"`:  "unexpected EOF",
		`[` + "\x00" + `"eth"`: "invalid character",
	} {
		var request NetRequest
		err := decodeBody(strings.NewReader(text), &request)
		if want == "" && err != nil || want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
