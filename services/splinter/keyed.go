package splinter

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/bits"
	"runtime"

	"golang.org/x/crypto/chacha20poly1305"
	"lukechampine.com/blake3"
)

// KeySize is the length of Options.Key in bytes.
const KeySize = 32

// ErrSealed means that a bus is keyed and was opened without its key, or with
// another; or that a value was not sealed with it.
var ErrSealed = errors.New("bus is sealed")

// A keyed bus holds for a key of its members BLAKE3 of it, keyed, which is 32
// bytes, and for a value XChaCha20-Poly1305 of the key's own name and the value,
// bound to that hash, under a random nonce: nonce (24), sealed (name's length u8,
// name, value), tag (16). Both keys are derived from the bus's one, as is what the
// header holds to know a wrong one by.
type keyring struct {
	hash [KeySize]byte
	aead cipher.AEAD
}

const (
	sealHead    = chacha20poly1305.NonceSizeX
	sealedExtra = sealHead + 1 + MaxKey + chacha20poly1305.Overhead // bytes that a sealed value is longer at most
)

// deriveKeys returns the keyring and the header's check of a key.
func deriveKeys(key []byte) (*keyring, [16]byte, error) {
	var check [16]byte
	if len(key) != KeySize {
		return nil, check, fmt.Errorf("a key of %d bytes, %d were expected", len(key), KeySize)
	}
	k := &keyring{}
	var seal [KeySize]byte
	blake3.DeriveKey(k.hash[:], "runa splinter 2 key hash", key)
	blake3.DeriveKey(seal[:], "runa splinter 2 value seal", key)
	blake3.DeriveKey(check[:], "runa splinter 2 key check", key)
	aead, err := chacha20poly1305.NewX(seal[:])
	k.aead = aead
	return k, check, err
}

// unlockKeys checks the key against the bus's header.
func (g geometry) unlockKeys(key []byte) (*keyring, error) {
	if g.Flags&flagKeyed == 0 {
		if key != nil {
			return nil, fmt.Errorf("%w: it was made without a key and cannot keep a secret", ErrNotKeyed)
		}
		return nil, nil
	}
	if key == nil {
		return nil, fmt.Errorf("%w: its key is needed", ErrSealed)
	}
	k, check, err := deriveKeys(key)
	if err == nil && subtle.ConstantTimeCompare(check[:], g.KeyCheck[:]) == 0 {
		err = fmt.Errorf("%w: this is not its key", ErrSealed)
	}
	return k, err
}

// ErrNotKeyed means that a key was given for a bus that was made without one.
var ErrNotKeyed = errors.New("bus is not keyed")

// valueLimit is the longest value a member may set.
func (b *Bus) valueLimit() int {
	if b.g.Flags&flagKeyed != 0 {
		return int(b.g.ValueMax) - sealedExtra
	}
	return int(b.g.ValueMax)
}

// storedKey is what stands in the file for the key.
func (b *Bus) storedKey(key string) string {
	if b.keys == nil {
		return key
	}
	h := blake3.New(KeySize, b.keys.hash[:])
	h.Write([]byte(key))
	return string(h.Sum(nil))
}

// sealed is what stands in the file for the key's value.
func (b *Bus) sealed(key string, value []byte) []byte {
	if b.keys == nil {
		return value
	}
	out := make([]byte, sealHead, sealHead+1+len(key)+len(value)+chacha20poly1305.Overhead)
	rand.Read(out) // never fails
	plain := make([]byte, 0, 1+len(key)+len(value))
	plain = append(append(append(plain, byte(len(key))), key...), value...)
	return b.keys.aead.Seal(out, out, plain, []byte(b.storedKey(key)))
}

// opened undoes sealed: the key's own name and the value. It does not change mem.
func (b *Bus) opened(stored string, mem []byte) (key string, value []byte, err error) {
	if b.keys == nil {
		return stored, mem, nil
	}
	if len(mem) < sealHead {
		return "", nil, fmt.Errorf("%w: a value of %d bytes", ErrSealed, len(mem))
	}
	plain, err := b.keys.aead.Open(nil, mem[:sealHead], mem[sealHead:], []byte(stored))
	if err != nil || len(plain) == 0 || len(plain) < 1+int(plain[0]) {
		return "", nil, fmt.Errorf("%w: a value was not sealed with its key", ErrSealed)
	}
	n := int(plain[0])
	return string(plain[1 : 1+n]), plain[1+n:], nil
}

// openGet is AppendGet on a keyed bus.
func (b *Bus) openGet(dst []byte, key string) ([]byte, uint64, error) {
	stored := b.storedKey(key)
	sealed, version, err := b.appendGet(nil, stored)
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			err = &missError{key: key}
		}
		return dst, 0, err
	}
	_, value, err := b.opened(stored, sealed)
	if err != nil {
		return dst, 0, fmt.Errorf("get %q: %w", key, err)
	}
	return append(dst, value...), version, nil
}

// nameOf is the own name of a stored key; false if its value is gone or not sealed with the bus's key.
func (b *Bus) nameOf(stored string) (string, bool) {
	if b.keys == nil {
		return stored, true
	}
	i, _, found := b.find(b.hash(stored), stored)
	if !found {
		return "", false
	}
	sealed, _, state := b.read(i, stored, nil)
	if state != readFound {
		return "", false
	}
	key, _, err := b.opened(stored, sealed)
	return key, err == nil
}

// unsealing makes an edit of stored content from one of a member's.
func (b *Bus) unsealing(key string, change edit) edit {
	if b.keys == nil {
		return change
	}
	return func(d *draft) error {
		before := d.value
		if d.found {
			_, value, err := b.opened(b.storedKey(key), d.value)
			if err != nil {
				return err
			}
			d.value = value
		}
		plain := d.value
		if err := change(d); err != nil {
			return err
		}
		if d.found && bytes.Equal(plain, d.value) {
			d.value = before
			return nil
		}
		d.value = b.sealed(key, d.value)
		return nil
	}
}

// lookUp returns all of the key but its value; the caller has checked the key.
func (b *Bus) lookUp(key string) (attributes, error) {
	defer runtime.KeepAlive(b)
	stored := b.storedKey(key)
	i, _, found := b.find(b.hash(stored), stored)
	if found {
		if name, is, ok := b.readKey(i); ok && name == stored && !is.expired(b.now()) {
			return is, nil
		}
	}
	return attributes{}, ErrNotFound
}

// usedSlot says whether slot i is marked used.
func (m *mapping) usedSlot(i uint32) bool {
	return m.usedWord(i/64).Load()&(1<<(i%64)) != 0
}

// usedSlots is how many slots are marked used.
func (m *mapping) usedSlots() (n int) {
	for i := range m.g.Slots / 64 {
		n += bits.OnesCount64(m.usedWord(i).Load())
	}
	return n
}
