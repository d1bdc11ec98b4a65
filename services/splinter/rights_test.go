package splinter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"runa/services/rmp"
)

func init() { roles["tryEverything"] = tryEverything }

// as opens the bus with the rights of another uid.
func as(t *testing.T, b *Bus, uid uint32) *Bus {
	t.Helper()
	other := again(t, b)
	other.become(uid, 1)
	return other
}

// tryEverything does what needs a right, as the uid of SPLINTER_TEST_UID, and
// prints what was forbidden.
func tryEverything(ctx context.Context, b *Bus) error {
	uid, err := strconv.ParseUint(os.Getenv("SPLINTER_TEST_UID"), 10, 32)
	if err != nil {
		return err
	}
	b.become(uint32(uid), 1)
	var forbidden []string
	for _, try := range attempts(ctx, b) {
		if err := try.do(); errors.Is(err, ErrForbidden) {
			forbidden = append(forbidden, try.name)
		} else if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrNoListener) {
			return fmt.Errorf("%s: %w", try.name, err)
		}
	}
	fmt.Println(strings.Join(forbidden, " "))
	return nil
}

type attempt struct {
	name string
	do   func() error
}

func attempts(ctx context.Context, b *Bus) []attempt {
	return []attempt{
		{"get", func() error { _, _, err := b.Get("shop/apple"); return err }},
		{"set", func() error { return b.Set("shop/apple", []byte("1")) }},
		{"unset", func() error { return b.Unset("shop/apple") }},
		{"system", func() error { _, _, err := b.Get("sys/version"); return err }},
		{"listen", func() error {
			l, err := b.Listen("shop")
			if err == nil {
				l.Close()
			}
			return err
		}},
		{"dial", func() error {
			c, err := b.Dial(ctx, "shop")
			if err == nil {
				c.Close()
			}
			return err
		}},
		{"publish", func() error {
			topic, err := b.Topic("shop/news", TopicOptions{})
			if err == nil {
				f, _ := rmp.New(rmp.SchemaToken, now(), [16]byte{}, 1, rmp.Token{})
				err = topic.Publish(ctx, f)
			}
			return err
		}},
		{"subscribe", func() error {
			topic, err := b.Topic("shop/news", TopicOptions{})
			if err == nil {
				var s *Subscription
				if s, err = topic.Subscribe(SubscribeOptions{}); err == nil {
					s.Close()
				}
			}
			return err
		}},
		{"grant", func() error { return b.Grant(7, Rights{}) }},
	}
}

func TestEachRightIsForOneThingAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		uid     uint32
		granted *Rights
		allowed string
	}{
		{7, nil, ""},
		{7, &Rights{}, ""},
		{7, &Rights{Read: []string{"key:shop/*"}}, "get"},
		{7, &Rights{Write: []string{"key:shop/apple"}}, "set unset"},
		{7, &Rights{Write: []string{"key:shop/app"}}, ""},
		{7, &Rights{Read: []string{"topic:shop/*"}}, "subscribe"},
		{7, &Rights{Write: []string{"topic:*"}}, "publish"},
		{7, &Rights{Read: []string{"name:shop"}}, "listen"},
		{7, &Rights{Write: []string{"name:shop"}}, "dial"},
		{0, nil, "get set unset listen dial publish subscribe grant"},
		{1, nil, "get set unset listen dial publish subscribe grant"}, // the file's owner
	} {
		b := newBus(t, Options{Enforce: true})
		if c.granted != nil {
			if err := b.Grant(c.uid, *c.granted); err != nil {
				t.Fatal(err)
			}
		}
		allowed := strings.Fields("system " + c.allowed)
		var refused uint64
		for _, try := range attempts(t.Context(), as(t, b, c.uid)) {
			err := try.do()
			if got := !errors.Is(err, ErrForbidden); got != slices.Contains(allowed, try.name) {
				t.Errorf("uid %d with %+v: %s gives %v", c.uid, c.granted, try.name, err)
			}
			if errors.Is(err, ErrForbidden) {
				refused++
			}
		}
		statistics, err := b.Statistics()
		if err != nil || statistics.Forbidden[c.uid] != refused {
			t.Errorf("uid %d was refused %d times, counted %v, %v", c.uid, refused, statistics.Forbidden, err)
		}
	}
}

func TestAProcessWithoutAGrantIsForbiddenEverythingAndCounted(t *testing.T) {
	b := newBus(t, Options{Enforce: true})
	t.Setenv("SPLINTER_TEST_UID", "1234")
	want := "get set unset listen dial publish subscribe grant"
	c := start(t, b, "tryEverything").ready(t)
	if got := c.lines.Text(); got != want {
		t.Fatalf("forbidden: %s; want %s", got, want)
	}
	statistics, err := b.Statistics()
	if err != nil || statistics.Forbidden[1234] != 8 {
		t.Fatalf("counted %v, %v; want 8 for uid 1234", statistics.Forbidden, err)
	}
	if err := b.Grant(1234, Rights{Read: []string{"key:shop/*", "topic:shop/*", "name:shop"}, Write: []string{"key:shop/*", "topic:shop/*", "name:shop"}}); err != nil {
		t.Fatal(err)
	}
	if got := start(t, b, "tryEverything").ready(t).lines.Text(); got != "grant" {
		t.Fatalf("forbidden with all rights: %q; want grant", got)
	}
}

func TestAGrantTakesEffectOnWhoIsThereAlready(t *testing.T) {
	b, ctx := newBus(t, Options{Enforce: true}), limit(t)
	all := Rights{Read: []string{"topic:*"}, Write: []string{"topic:*"}}
	if err := b.Grant(7, all); err != nil {
		t.Fatal(err)
	}
	other := as(t, b, 7)
	topic := newTopic(t, other, "topic", TopicOptions{})
	s := subscribe(t, topic, SubscribeOptions{})
	publish(t, topic, 1, "while it may")
	wantMessage(t, ctx, s, 1, "while it may")
	if err := b.Grant(7, Rights{}); err != nil {
		t.Fatal(err)
	}
	if err := topic.Publish(ctx, topicFrame(t, 2, "")); !errors.Is(err, ErrForbidden) {
		t.Fatalf("publish: %v, want ErrForbidden", err)
	}
	publish(t, newTopic(t, b, "topic", TopicOptions{}), 3, "not for it")
	wantNothing(t, s)
	if d := s.Dropped(); d[rmp.DropForbidden] != 1 {
		t.Fatalf("dropped %v, want one forbidden", d)
	}
	if err := b.Grant(7, all); err != nil {
		t.Fatal(err)
	}
	publish(t, topic, 4, "again")
	wantMessage(t, ctx, s, 4, "again")
}

func TestWithoutEnforceEverybodyMayEverything(t *testing.T) {
	b := newBus(t, Options{})
	for _, try := range attempts(t.Context(), as(t, b, 7)) {
		if err := try.do(); errors.Is(err, ErrForbidden) && try.name != "grant" {
			t.Errorf("%s: %v", try.name, err)
		}
	}
}

func TestPatternsAreCheckedAndBounded(t *testing.T) {
	b := newBus(t, Options{Enforce: true})
	for _, wrong := range []string{"", "key", "keys:a", "key:", "key:a*b", "key:**", "name:a\nw key:*", "key:" + strings.Repeat("a", 300)} {
		if err := b.Grant(7, Rights{Read: []string{wrong}}); err == nil {
			t.Errorf("pattern %q was taken", wrong)
		}
	}
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprint("key:prefix/", i))
	}
	if err := b.Grant(7, Rights{Read: many}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many patterns: %v", err)
	}
	want := Rights{Read: []string{"key:*"}, Write: []string{"topic:a", "name:b*"}}
	if err := b.Grant(7, want); err != nil {
		t.Fatal(err)
	}
	if got, ok := b.RightsOf(7); !ok || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("granted %v, want %v", got, want)
	}
	if _, ok := b.RightsOf(8); ok {
		t.Error("uid 8 was never granted anything")
	}
	for uid := range uint32(rightsLimit - 1) {
		if err := b.Grant(100+uid, Rights{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Grant(99, Rights{}); !errors.Is(err, ErrFull) {
		t.Errorf("one uid too many: %v, want ErrFull", err)
	}
	if err := as(t, b, 99).Set("key", nil); !errors.Is(err, ErrForbidden) {
		t.Errorf("a uid that finds no place: %v, want ErrForbidden", err)
	}
}
