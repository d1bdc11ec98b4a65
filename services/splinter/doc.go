// Package splinter is the bus: one file on a tmpfs, mapped by every process that
// may open it, that holds keys with values and connections that carry RMP
// frames. It is the only way in which Runa's components talk. There is no broker:
// the processes work on the same memory, so there is none to crash. The package
// owns the layout of that file and the protocols on it; it must never know what a
// message means, poll, or need a janitor in order to be mended.
//
// # Keys
//
// A key has 1 to MaxKey bytes, a value 0 to the bus's limit (4 KiB unless the bus
// was made with another). Every key has one true timeline:
//
//   - A Set that has returned is seen by every Get that begins afterwards, in any
//     process. Each Set of a key has a greater version than the one before, also
//     over an Unset; two writers of one key come one after the other.
//   - Get returns one whole value that the key had during the call, with that
//     value's version; never parts of two. It takes no lock and waits for no writer.
//   - A key that is set all the time is never reported as not there.
//   - Between two keys there is no promise but this: what one process set in
//     order, another sees in that order.
//   - Wait returns when the version passes the given one. It may pass over
//     versions, never over the last. An Unset wakes nobody.
//
// # Connections
//
// Listen takes a name, Dial connects to it, Accept takes what was dialled, in the
// order of dialling. Each connection is two rings of bytes, one each way.
//
//   - Frames arrive whole, once and in the order of Send, or not at all. Send
//     returns when the frame is in the ring, which is before it is read.
//   - Expired frames are delivered too: a stream with holes is worse than a late
//     one. The receiver may ask Header.Expired.
//   - A peer that closed is io.EOF after its last frame; a process that died is
//     ErrPeerDied after its last whole frame. Done tells of both at once, also
//     while nobody receives. The kernel tells of deaths (pidfd), within the time
//     it takes to schedule a goroutine.
//   - Dial to a name that nobody alive has is ErrNoListener at once.
//   - Closing a connection is the way to cancel what the peer does for it.
//
// # What blocks whom
//
//   - Readers block nobody and are blocked by nobody.
//   - Writers of the same key take turns; the lock is held for one copy. Adding
//     and removing keys is one at a time on the bus. A process that is stopped
//     (SIGSTOP) in those nanoseconds holds up writers of that key, or those that
//     add and remove keys, until it goes on or is killed.
//   - A full ring blocks its sender until the peer reads, the context ends or the
//     peer is gone. No other connection suffers.
//   - A blocked Wait, Receive or Send holds one thread, in a futex wait; Accept
//     and Done hold none. A handle that listens or dials holds one thread more.
//
// # What survives a crash
//
// A process may be killed at any instruction. What it had set stays. A value it
// was writing was going to the slot's spare record, so the key keeps its old
// value and version. Its locks are taken over by the next process that meets
// them: a lock names its owner by pid and start time. Its connections and names
// are freed when its peers learn of its death, or by the next Dial or Listen that
// needs their place. The file itself is memory: it ends with the machine.
//
// # A full bus
//
// All memory is taken when the bus is made; use does not let it grow. Set of a
// new key into a full store, Dial with every connection taken and Listen with
// every name taken are ErrFull at once, after the dead were cleared away; nothing
// is evicted. Keys that exist can always be set.
//
// # Trust
//
// Who may open the file may do anything to the bus. A file that is cut off,
// damaged or of another layout is refused by Open; damage done later by another
// member gives wrong values or ErrCorrupt, never an access outside of the file,
// as long as nobody truncates it. What must not be shared is on a bus of its own.
// Unset does not wipe the value's bytes.
//
// # The file
//
// Little-endian; every region begins at a page of 4096 bytes, in this order:
//
//	header        magic, version, geometry and its CRC-32; two locks; counters
//	index         u64 each: upper half of the key's hash, slot number + 1
//	used          one bit for each slot
//	wake words    256 futex words that keys share by hash, 64 bytes apart
//	participants  128 of 64 bytes: owner, doorbell futex
//	endpoints     64 of 128 bytes: owner, participant, generation, name
//	connections   of 1024 bytes: state, both owners, head, tail and futexes of two rings
//	slots         epoch u64, owner u64, then two records from byte 64: version u64,
//	              value length u32, key length u32, key (to 8 bytes), value
//	rings         two for each connection
//
// An owner is the start time of a process in clock ticks above 22 bits of pid, so
// it fits the word that a compare-and-swap takes. layout.go has every field.
//
// # Memory order
//
// The race detector does not see mapped memory; these are the rules instead.
// Words that processes share are only touched by atomic operations, which in Go
// are sequentially consistent. A slot's epoch is read before and after a copy
// (record.go); on amd64, where loads keep their order and so do stores, the copy
// between is a plain one, elsewhere each of its words is a load-acquire or
// store-release (words.go). A ring's bytes are copied between reading the
// other side's counter and storing one's own (ring.go), which is the usual
// release and acquire and needs no more anywhere. A sleeper first marks the futex
// word and then looks, a waker first changes the state and then reads the mark
// (futex.go), so one of them sees the other.
package splinter
