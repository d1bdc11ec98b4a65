package control

import (
	"crypto/rand"
	"crypto/subtle"
	"slices"
	"sync"
	"time"
)

// Bounds of the explanations that wait for a person's decision.
const (
	maxTokens = 64
	tokenLife = 5 * time.Minute // to read and decide
)

// offer is what was explained, and to whom.
type offer struct {
	iface string
	d     time.Duration
	uid   uint32
}

// tokens remember which explanations were given. They are in memory only.
type tokens struct {
	now func() time.Time

	mu    sync.Mutex
	given []token // the oldest first
}

type token struct {
	text  string
	offer offer
	until time.Time
}

// issue returns a new token for an offer; when there are too many, the oldest
// is no longer good.
func (t *tokens) issue(o offer) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget()
	if len(t.given) == maxTokens {
		t.given = slices.Delete(t.given, 0, 1)
	}
	text := rand.Text() // 128 bits
	t.given = append(t.given, token{text, o, t.now().Add(tokenLife)})
	return text
}

// redeem reports whether the token was given for just this offer. A token is
// used up by any try to redeem it.
func (t *tokens) redeem(text string, o offer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget()
	i := slices.IndexFunc(t.given, func(known token) bool {
		return subtle.ConstantTimeCompare([]byte(known.text), []byte(text)) == 1
	})
	if i < 0 {
		return false
	}
	known := t.given[i].offer
	t.given = slices.Delete(t.given, i, i+1)
	return known == o
}

func (t *tokens) forget() {
	now := t.now()
	t.given = slices.DeleteFunc(t.given, func(known token) bool { return !now.Before(known.until) })
}
