package splinter

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// TypeInt is the type of a key that Add counts in: 8 bytes, little-endian, two's complement.
const TypeInt = "int"

var (
	// ErrConflict means that a key does not have the version that was expected.
	ErrConflict = errors.New("version conflict")
	// ErrType means that a key is of another type, or that a type's name is bad.
	ErrType = errors.New("bad type")
)

// CompareAndSet sets the value if the key's version is the one given, 0 for a key
// that is not there, and returns the new version. Else nothing is changed, and it
// is ErrConflict with the version that the key has (0: none).
func (b *Bus) CompareAndSet(key string, version uint64, value []byte) (newVersion uint64, err error) {
	if err := b.checkWrite(key, len(value)); err != nil {
		return 0, fmt.Errorf("compare and set %q: %w", key, err)
	}
	has := uint64(0)
	newVersion, err = b.put(b.storedKey(key), nil, b.unsealing(key, func(d *draft) error {
		if has = 0; d.found {
			has = d.version
		}
		if has != version {
			return fmt.Errorf("%w: version %d was expected", ErrConflict, version)
		}
		d.value = value
		return nil
	}))
	if err != nil {
		return has, fmt.Errorf("compare and set %q, version %d: %w", key, has, err)
	}
	return newVersion, nil
}

// Add adds delta to the key's integer and returns the sum. A key that is not there
// begins at 0 and gets TypeInt; a key of another type or length is ErrType and
// stays as it is. A sum that does not fit is ErrRange.
func (b *Bus) Add(key string, delta int64) (sum int64, err error) {
	if err := b.checkWrite(key, 8); err != nil {
		return 0, fmt.Errorf("add to %q: %w", key, err)
	}
	integer := Meta{Type: TypeInt}.attributes().kind
	_, err = b.put(b.storedKey(key), nil, b.unsealing(key, func(d *draft) error {
		before := int64(0)
		if d.found {
			if d.is.kind != integer || len(d.value) != 8 {
				return fmt.Errorf("%w: %q with %d bytes, %q with 8 was expected", ErrType, d.is.typeName(), len(d.value), TypeInt)
			}
			before = int64(binary.LittleEndian.Uint64(d.value))
		}
		if sum = before + delta; (sum > before) != (delta > 0) && delta != 0 {
			return fmt.Errorf("%w: %d and %d", ErrRange, before, delta)
		}
		d.is.kind = integer
		d.value = binary.LittleEndian.AppendUint64(nil, uint64(sum))
		return nil
	}))
	if err != nil {
		return 0, fmt.Errorf("add to %q: %w", key, err)
	}
	return sum, nil
}

// ErrRange means that a sum does not fit an integer of 64 bits.
var ErrRange = errors.New("integer out of range")
