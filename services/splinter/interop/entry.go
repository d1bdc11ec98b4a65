package interop

import "time"

// Entry is one key as it travels.
type Entry struct {
	Key      string
	Value    []byte
	Version  uint64 // where it came from; the bus that takes the entry in gives its own
	Type     string // a named type, "" for none
	Labels   uint64
	TTL      time.Duration // 0: never ends
	HalfLife time.Duration // 0: never decays
}

// Problem is a key that could not travel whole, and why. It is for a person.
type Problem struct {
	Key    string
	Reason string
}
