package splinter

// The two sides of a connection; also the direction a side writes in.
const (
	client = 0
	server = 1
)

// Bits of a connection's state. A connection with none of heldMask is free; only
// a Dial under the channel lock takes a free one. A side that closes gives up its
// hold and sets its closed bit in one step; a hold that is gone without that bit
// belonged to a process that died.
const (
	heldByClient uint32 = 1 << iota
	heldByServer
	pending // dialled and not yet accepted; stands for the listener's hold
	closedByClient
	closedByServer

	heldMask = heldByClient | heldByServer | pending
)

type peerState int

const (
	peerThere peerState = iota
	peerClosed
	peerDied
)

// peerOf says, from the state, what became of the peer of side.
func peerOf(state uint32, side int) peerState {
	held, closed := heldByServer|pending, closedByServer
	if side == server {
		held, closed = heldByClient, closedByClient
	}
	switch {
	case state&closed != 0:
		return peerClosed
	case state&held != 0:
		return peerThere
	default:
		return peerDied
	}
}

// released is the state after side has let go. What a client sent before it was
// accepted can still be read, so its closing leaves the connection pending; its
// death does not.
func released(state uint32, side int, closed bool) uint32 {
	switch {
	case side == server && closed:
		return state&^(heldByServer|pending) | closedByServer
	case side == server:
		return state &^ (heldByServer | pending)
	case closed:
		return state&^heldByClient | closedByClient
	default:
		return state &^ (heldByClient | pending)
	}
}

// release lets go of side's hold.
func (c *connection) release(side int, closed bool) {
	for {
		state := c.state.Load()
		if c.state.CompareAndSwap(state, released(state, side, closed)) {
			return
		}
	}
}

func (c *connection) kickRings() {
	for i := range c.rings {
		kick(&c.rings[i].data.word)
		kick(&c.rings[i].space)
	}
}
