package splinter

// On amd64 loads are not reordered with loads, nor stores with stores, and the
// compiler moves no plain access over an atomic one: a plain copy between two
// atomic reads of the epoch is enough.

func copyOut(dst, src []byte) { copy(dst, src) }

func copyIn(dst []byte, src []byte) { copy(dst, src) }

func sameBytes(mem []byte, key string) bool { return string(mem) == key }

func load(word *uint64) uint64 { return *word }

func store(word *uint64, v uint64) { *word = v }
