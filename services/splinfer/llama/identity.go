package llama

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// Identity tells one file of weights from another: a hash of its size, its
// metadata and samples of its tensors. It is no proof against someone who forges a
// file; it keeps states apart that were computed with different weights.
type Identity [sha256.Size]byte

// String is the identity in hexadecimal digits.
func (i Identity) String() string { return hex.EncodeToString(i[:]) }

// What fileIdentity reads: the front of the file, where names and
// hyperparameters are, and blocks evenly spaced over all of it. Reading all of a
// large model would take longer than loading it.
const (
	identityFront  = 256 << 10
	identityBlocks = 32
	identityBlock  = 4 << 10
)

// fileIdentity hashes the file at path.
func fileIdentity(path string) (Identity, error) {
	file, err := os.Open(path)
	if err != nil {
		return Identity{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Identity{}, err
	}
	if !info.Mode().IsRegular() {
		return Identity{}, fmt.Errorf("%s is not a regular file", path)
	}
	sum := sha256.New()
	binary.Write(sum, binary.LittleEndian, info.Size())
	sample := func(from, length int64) error {
		_, err := io.Copy(sum, io.NewSectionReader(file, from, min(length, info.Size()-from)))
		return err
	}
	if err := sample(0, identityFront); err != nil {
		return Identity{}, err
	}
	for i := range int64(identityBlocks) {
		last := max(info.Size()-identityBlock, 0)
		if err := sample(last*i/(identityBlocks-1), identityBlock); err != nil {
			return Identity{}, err
		}
	}
	return Identity(sum.Sum(nil)), nil
}
