package journal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
)

// The header of a state: magic, version, CRC of the payload, its length,
// number of tokens, digest of model and tokens, CRC of all this.
const (
	stateMagic   = "RUNAKVST"
	stateVersion = 1
	stateHeader  = 68
)

// stateInfo is what a state's header says.
type stateInfo struct {
	checksum uint32
	length   int64
	tokens   int64
	digest   [sha256.Size]byte
}

func (i stateInfo) encode() []byte {
	b := little.AppendUint32([]byte(stateMagic), stateVersion)
	b = little.AppendUint32(b, i.checksum)
	b = little.AppendUint64(b, uint64(i.length))
	b = little.AppendUint64(b, uint64(i.tokens))
	b = append(b, i.digest[:]...)
	return little.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeState(b []byte) (i stateInfo, err error) {
	switch {
	case len(b) != stateHeader || !bytes.HasPrefix(b, []byte(stateMagic)) || little.Uint32(b[64:]) != crc32.Checksum(b[:64], castagnoli):
		return i, fmt.Errorf("%w: it has no header", errBadState)
	case little.Uint32(b[8:]) != stateVersion:
		return i, fmt.Errorf("%w: it is of version %d, this program reads %d", errBadState, little.Uint32(b[8:]), stateVersion)
	}
	i = stateInfo{checksum: little.Uint32(b[12:]), length: int64(little.Uint64(b[16:])), tokens: int64(little.Uint64(b[24:]))}
	copy(i.digest[:], b[32:64])
	return i, nil
}

// errBadState means that a state can never be used, and is removed.
var errBadState = errors.New("state is damaged")

// digest stands for the model and the first tokens of the conversation.
func (c *contents) digest(tokens int) (d [sha256.Size]byte) {
	h := sha256.New()
	buffer := little.AppendUint64(make([]byte, 0, 4096), uint64(len(c.model)))
	buffer = append(buffer, c.model...)
	for _, t := range c.tokens[:tokens] {
		if buffer = little.AppendUint32(buffer, uint32(t)); len(buffer) > 4000 {
			h.Write(buffer)
			buffer = buffer[:0]
		}
	}
	h.Write(buffer)
	h.Sum(d[:0])
	return d
}

// occupy makes c busy with its state; vacate ends that.
func (c *Conversation) occupy() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return ErrClosed
	case c.busy:
		return fmt.Errorf("its state is %w", ErrBusy)
	}
	c.busy = true
	return nil
}

func (c *Conversation) vacate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
	if c.closed {
		c.store.release(c.id)
	}
}

func (c *Conversation) stateName() string { return c.id + stateSuffix }
