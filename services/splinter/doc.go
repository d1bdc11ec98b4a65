// Package splinter is the bus: one file on a tmpfs, mapped by every process that
// may open it, that holds keys with values, and topics and connections that carry
// RMP frames. It is the only way in which Runa's components talk. There is no broker:
// the processes work on the same memory, so there is none to crash. The package
// owns the layout of that file and the protocols on it; it must never know what a
// message means, poll, or need a janitor in order to be mended.
//
// # Keys
//
// A key has 1 to MaxKey bytes, a value 0 to the bus's limit (1 MiB unless the bus
// was made with another). Every key has one true timeline:
//
//   - A Set that has returned is seen by every Get that begins afterwards, in any
//     process. Each Set of a key has a greater version than the one before, also
//     over an Unset; two writers of one key come one after the other.
//   - Get returns one whole value that the key had during the call, with that
//     value's version; never parts of two. It takes no lock and waits for no writer.
//   - A key that is set all the time is never reported as not there.
//   - Between two keys there is no promise but this: what one process set in
//     order, another sees in that order. List, Find and Snapshot walk the keys
//     while others write: each entry is whole, a key that is there throughout is
//     in it, but the entries need not be of one instant.
//   - Wait returns when the version passes the given one. It may pass over
//     versions, never over the last. An Unset wakes nobody who waits; Watch tells
//     of it.
//   - CompareAndSet and Add are one step: no write of another comes between what
//     they read and what they write. CompareAndSet with version 0 adds a key that
//     is not there. Because versions never come again, a value that was changed and
//     changed back is still a conflict. Add works on keys of type TypeInt alone.
//
// A miss looks at one or two entries of an index that is at most a quarter full,
// however many keys there are.
//
// # Attributes
//
// Beside its value a key may have a type, 64 labels, a TTL and a half-life.
// SetWith sets them in one step with the value; Set keeps them; SetType and Label
// change them and leave the value. All are writes: each gives a new version and
// begins the TTL anew.
//
//   - Once its TTL has passed a key is not there, for everybody and at once, by the
//     clock of who looks. Its space is taken back by Evict, or by who needs it.
//   - A key with a half-life has a weight: each Set or Get adds one (at most 64 of
//     them in a half-life count), and each half-life without use halves it. Evict,
//     which the janitor calls, removes the lightest of these keys when more than
//     7/8 of the keys or of the heap is taken, until 3/4 is.
//   - A key with neither is never removed but by Unset.
//
// # Watches
//
// Watch tells of the keys that a Selector takes: first of all that are there, each
// as a Set, then of what changes, in the order of each key's versions. A change is
// told after everybody can see it. Of several Sets of one key the last may stand
// for all, and a key that came and went may not be told of; the last change always
// is. An Unset, Evicted or Expired is told once. A watcher that falls behind by
// more than 1024 changes is told ErrBehind, then the difference; it slows down
// nobody. Writing a key that nobody watches costs a load more if nobody watches
// any, and a comparison for each watcher else. Of a write that its process did not
// live to return from a watcher may learn only when that key is written again.
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
//     while nobody receives. The kernel tells of deaths (death.go), within the time
//     it takes to schedule a goroutine, also across pid and user namespaces.
//   - Dial to a name that nobody alive has is ErrNoListener at once.
//   - Closing a connection is the way to cancel what the peer does for it.
//
// # Topics
//
// A topic has a name, a ring of messages and up to 40 subscriptions; everybody may
// publish. It stays until the bus ends, with the options it was made with. Every
// topic has one true timeline too:
//
//   - Messages have one order, the same for all subscribers, and each publisher's
//     are in it in the order of its calls. Message.Sequence is the place in it.
//   - Publish returns when the message is where subscribers find it, which is before
//     they have read it. It arrives whole or not at all, and at each subscription
//     once. Between two topics there is no promise but that of what one process
//     published in order.
//   - A subscription has a position of its own and begins with what comes after
//     Subscribe, or, if it wants History, with the last messages the topic keeps.
//   - What a subscription does not get it is told of in numbers (Dropped), by
//     reason, and everybody in a notice on DropsTopic (rmp.DropNotice): the first
//     of a kind at once, then one in 100 ms that sums up. Drops of notices are only
//     counted.
//   - A frame is checked when it is received, in the order of package rmp: form,
//     then the right to read the topic (forbidden), then its life (ttl_expired),
//     then whether this subscription has seen its trace and number (duplicate),
//     then schema and body. A subscription remembers what it saw for the largest ttl
//     it saw, at most 65,536 messages.
//
// A frame of up to 208 bytes stands in the ring itself. A longer one stands in a
// block of the heap, and a receiver reads it there, in place: the block stays until
// Message.Release, also when the topic has long gone on. Of one subscription four
// such messages may be held; further ones are copied. With Loan a publisher writes
// a payload where it will be read, so it is never copied at all.
//
// # A full topic
//
// A subscription is full when more than Depth messages or Bytes bytes wait for it.
//
//   - Under DropOldest the oldest that wait for it are dropped at once (overwritten).
//   - Under Block the publisher, whose message is published already, waits for it,
//     at most BlockLimit (50 ms) or until its context ends; then the oldest that
//     wait are dropped for this subscription (backpressure_timeout). From then on
//     nobody waits for it until it has read a message, so one that sleeps costs
//     its publishers 50 ms once, not each time.
//
// Other subscriptions notice neither. Only when 16 publishers or more wait for one
// subscription does a further one wait before its message is out.
//
// # Requests
//
// Request dials a name and sends one question; the answers are a stream that ends
// with io.EOF. The deadline of the asker's context travels as the question's ttl.
// AcceptRequest returns questions; one that came too late is answered with
// error.report, code request.expired, which the asker receives as rmp.ErrExpired,
// and is counted as ttl_expired. Request.Context ends, and so should the work,
// when the asker closes the stream, its context ends, its process dies or the
// question's life is over. A name that nobody alive has is ErrNoListener at once.
//
// # Rights
//
// On a bus made with Options.Enforce a uid may do what Grant gave it, by patterns of
// keys, topics and names (Rights), and read keys under sys/; root and the owner of
// the file may do everything. The rest is ErrForbidden, and counted for the uid. A
// Grant counts from its return, also for who has the bus, a topic or a subscription
// open; connections that are open stay. List and Watch leave out what may not be
// read. Statistics and Info, which show names but no values, are for everybody.
// On the appliance gilgul grants what the manifests say under bus:, and the owner
// may read everything, dial every name and write below owner/.
//
// # Statistics
//
// Each handle counts in a place of its own in the file, so counting makes nobody
// wait; pids are those that processes see themselves as. Statistics sums them up by program and uid, the ended ones included, and
// tells of each topic, subscription and connection. Wake latency is the time from
// waking a Receive that slept to its running again; one that did not sleep is not
// in it.
//
// # What blocks whom
//
//   - Readers block nobody and are blocked by nobody. A reader begins its copy again
//     if during it two writes of that key were finished.
//   - Writers of the same key take turns; the lock is held for one copy. Adding
//     and removing keys is one at a time on the bus, and so is taking and freeing
//     blocks, for some tens of nanoseconds. A process that is stopped (SIGSTOP)
//     in those nanoseconds holds up writers of that key, those that add and remove
//     keys, or those that need a block, until it goes on or is killed.
//   - Evict and Repair hold up those that add and remove keys, nobody else.
//   - A full ring blocks its sender until the peer reads, the context ends or the
//     peer is gone. No other connection suffers.
//   - Publishers on one topic take turns for some hundred nanoseconds, the copy of a
//     short frame among them; a long one is written before. A full subscription
//     makes its publishers wait as said above, a dead one none: the kernel tells
//     those who wait for it. Subscribers wait for nobody and make each other wait
//     for nothing. A Receive looks for a message some hundred times before it sleeps.
//   - A blocked Wait, Watch, Receive or Send holds one thread, in a futex wait; Accept
//     and Done hold none. A handle that listens or dials holds one thread more.
//
// # What survives a crash
//
// A process may be killed at any instruction. What it had set stays. A value it
// was writing was going to the slot's spare record, so the key keeps its old
// value and version. Its locks are taken over by the next process that meets
// them: a lock names its owner, a handle, which is alive for as long as it holds locks
// on bytes behind the file's end that the kernel takes away at the end of its process
// (life.go). No pid is compared, so the processes may be in any pid and user
// namespaces. Descriptors are closed on exec; a child that is forked without exec
// keeps its parent's handles alive until it has ended too. Its connections and names
// are freed when its peers learn of its death, or by the next Dial or Listen that
// needs their place. The file itself is memory: it ends with the machine.
//
// A message that a killed process was publishing is there whole or not there; the
// next publisher takes the topic's lock over and goes on. If the process died
// between publishing and waking, who sleeps learns of the message with the next
// one. A dead subscriber's place and pins are freed by the publisher that would
// have to wait for it, or by who needs the place. A dead process's loans go back
// to the heap. topic_step.go numbers the steps at which tests kill.
//
// No space is lost. A block of the heap belongs to somebody who refers to it, or
// to a process that answers for it while it is on its way (allocator.go); when
// that process is dead the block is got back by who takes over one of its locks,
// before anybody is told ErrFull, or by Repair. Tests kill a writer at each
// numbered step (step.go) and at random instants.
//
// Check looks over a whole bus while others use it and changes nothing; a lock or
// block of the dead that nobody has come by yet is a problem in its Report.
// Repair mends those, and drops keys that damage made unreadable.
//
// # A full bus
//
// All memory is taken when the bus is made; use does not let it grow. Set of a
// new key into a store with every slot taken, Set of a value for which the heap
// has no block, Dial with every connection taken, Listen with every name taken and
// Watch with 64 watchers there, Topic with all 64 topics or no messages left for
// its ring, Subscribe with 40 subscriptions there, and Publish of a long frame or
// Loan for which the heap has no block are ErrFull at once, after the dead, the expired
// and the spare were cleared away; nothing is evicted then. Nothing is changed by a
// call that fails: the key keeps its value. Keys that exist can always be set to
// values of up to 120 bytes, which need no block.
//
// Longer values take blocks of 256, 512, 1024 bytes and so on: the least power of
// two that holds them. A key keeps a second block of up to 64 KiB for its next write;
// these are given back when the heap is full. A bus made with a Share leaves one
// uid no more than that part of the keys and of the heap (ErrShare), so that a
// flood of one does not shut out the others; root and the file's owner have no limit.
//
// # Trust
//
// Who may open the file may do anything to the bus. Rights (Grant) bind the
// processes that use this package, not one that writes into the memory itself. A
// file that is cut off, damaged or of another layout is refused by Open; damage
// done later by another member gives wrong values or ErrCorrupt, never an access
// outside of the file, as long as nobody truncates it; a member can also hold a lock
// for ever, or lock what shows that a dead one lives. PID 1, which must outlive all
// that, opens the bus with Options.Patience (patience.go). What must not be shared is
// on a bus of its own. Unset does not wipe the value's bytes.
//
// A bus made with Options.Key holds only keyed BLAKE3 hashes of keys, and values
// sealed with XChaCha20-Poly1305 and bound to their key. A dump of the file shows
// how many keys there are, how long their values, when they change, their types,
// labels and times; no key and no value. A value that was not sealed for its key
// is ErrSealed. Who can write the file can still bring back an old value of a key.
// Connections and topics are not sealed.
//
// # The file
//
// Little-endian; every region begins at a page of 4096 bytes, in this order:
//
//	header        magic, version, geometry and its CRC-32; locks; heads of lists
//	index         u64 each: upper half of the key's hash, slot number + 1
//	used          one bit for each slot
//	wake words    256 futex words that keys share by hash, 64 bytes apart
//	participants  128 of 64 bytes: owner, doorbell futex
//	endpoints     64 of 128 bytes: owner, participant, generation, name
//	connections   of 1024 bytes: state, both owners, head, tail and futexes of two rings
//	slots         of 704 bytes: epoch, owner, key, then two records: version, length,
//	              block, 120 bytes of value, attributes
//	log           1024 of 320 bytes: the last changes that somebody watched
//	watchers      64 of 384 bytes: owner, futex, what it watches
//	heap table    16 bytes for each unit of 256: what block begins here, who answers for it
//	heap          values of more than 120 bytes and loaned payloads
//	channels      topics, rights and statistics, see layout_channels.go
//	rings         two for each connection
//
// Behind the end, at 2^62 + 2n and the byte after it, are the locks by which the handle
// with the number n lives. Version 3 of the layout has them; a file of another
// version is refused, as nobody can say who of those that use it is alive.
//
// An owner is the number of a handle, drawn at random, above 22 bits of the pid that
// its process sees itself as (1 in a pid namespace of its own, and for people only), so
// it fits the word that a compare-and-swap takes. layout.go has every field.
//
// # Memory order
//
// The race detector does not see mapped memory; these are the rules instead. Words
// that processes share are only touched by atomic operations, or by load and store
// between two reads of an epoch.
//
// Go's atomics are sequentially consistent. On arm64 a Load is LDAR, a Store STLR,
// and a CompareAndSwap, Swap or Add either a CASAL, SWPAL or LDADDAL or a loop of
// LDAXR and STLXR. From the Arm architecture these rules are used:
//
//	A  what follows an LDAR in program order is done after it (acquire)
//	R  what precedes an STLR in program order is done before it (release)
//	S  an LDAR that follows an STLR is done after it (RCsc), also at other addresses
//
// Line by line:
//
//   - A slot's writer stores the epoch odd, then the spare record's words, then the
//     epoch even (record.go). Off amd64 each word is an STLR (store, wordsIn), so R
//     keeps every one after the odd epoch, which is the STLR before it, and before
//     the even one.
//   - A reader loads the epoch, the key, the record, and the epoch again. Each is an
//     LDAR (load, wordsOut), so A keeps them in that order. If it saw a word of the
//     next write but one, the second load sees that write's odd epoch, and the
//     reader begins again. On amd64 loads keep their order, so do stores, and the
//     compiler moves no plain access over an atomic: a plain copy does there.
//   - A block is written before the epoch that makes its record valid (R) and read
//     after the record's reference (A). It is freed after the epoch was moved past all
//     readers that could have its reference (outdate, then cutBlock), so who reads a
//     block that is another's already fails its second load of the epoch.
//   - A new key's slot is whole before the index entry that names it is stored (R);
//     who loads the entry sees it whole (A).
//   - A lock is taken by a compare-and-swap (A) and given back by a Store (R): plain
//     words under it, such as the heap's lists, are ordered by it. One that is
//     taken over was stored by a process that is dead: the kernel's lock on the
//     file's locks, which its exit and our question take, orders its stores before our look.
//   - A setter stores the epoch, then loads the mark of the futex word, and whether
//     anybody watches; a sleeper sets its mark, a watcher its bit, then loads the
//     epoch. S keeps both pairs in order, so one of them sees the other and no
//     wake-up is lost (futex.go, watch.go).
//   - Who cuts a reference to a block first stores that it answers for it (adopt);
//     who sweeps loads the reference first and who answers after (R and A), so a
//     block whose reference it sees cut is seen with its living process.
//   - A publisher fills a cell, then stores the topic's head (R); a subscriber loads
//     the head, then the cell (A). It keeps what it copied only if its
//     compare-and-swap moves its position, and that comes after the copy (R). A
//     publisher writes to a cell again only after it has loaded (A) or moved every
//     position past it, so who copied from a cell that changed fails there.
//   - A subscriber stores the pin of a block, then moves its position; a publisher
//     loads the positions, stores the tail, then loads the pins. Who gives up a pin
//     stores that, then loads the tail. S: a block that leaves the ring is seen
//     pinned by the publisher or out of the ring by the reader, who then frees it.
//   - A publisher stores the head, then loads the mark of the topic's futex word; a
//     subscriber sets the mark, then loads the head (S). The same holds the other
//     way round for a position and who waits for space.
//   - A ring's bytes are copied between reading the other side's counter (A) and
//     storing one's own (R), which is all that a queue of one writer and one reader
//     needs (ring.go).
//
// The package's tests run on arm64 under qemu-aarch64 too, children included:
//
//	GOARCH=arm64 CGO_ENABLED=0 go test -c -o splinter.test . &&
//	SPLINTER_TEST_RUNNER=qemu-aarch64 qemu-aarch64 ./splinter.test
//
// which shows that this code is right, not that a weaker memory than qemu's is;
// for that the rules above must do.
package splinter
