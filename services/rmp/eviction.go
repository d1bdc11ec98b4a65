package rmp

// EvictionValueLimit is the longest value in bytes that an eviction notice carries.
const EvictionValueLimit = 32 << 10

// Eviction (schema 21) tells that the bus gave up a key because space was short,
// and what it held, so that who wants to remember it can.
type Eviction struct {
	Key     string  `msgpack:"key"`
	Kind    string  `msgpack:"type"` // of the value, as Meta.Type names it
	Labels  uint64  `msgpack:"labels"`
	Version uint64  `msgpack:"version"`
	Weight  float64 `msgpack:"weight"` // that was too little
	Size    uint64  `msgpack:"size"`   // of the value in bytes
	Value   []byte  `msgpack:"value"`  // nil if it is longer than EvictionValueLimit
}
