package version

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"runa/services/hint"
)

// chunk is how much is copied between two looks at the context, in bytes.
const chunk = 1 << 20

// bring copies a program into the folder and returns its name there. Whoever
// owns the program may change it meanwhile: what counts is what was copied.
func (s *Store) bring(ctx context.Context, f folder, program string) (name string, err error) {
	from, err := openProgram(program)
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := f.create()
	if err != nil {
		return "", err
	}
	defer to.Close()
	if name, err = s.copy(ctx, f, from, to); err == nil {
		err = f.finish(to, name, 0o755)
	}
	if err != nil {
		return "", errors.Join(err, f.giveUp())
	}
	return name, s.verify(f, name)
}

func openProgram(path string) (*os.File, error) {
	if !filepath.IsAbs(path) {
		return nil, errors.New("its path must be absolute")
	}
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a fifo must not hold us up
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: it is not a file", ErrNoProgram)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func (s *Store) copy(ctx context.Context, f folder, from io.Reader, to *os.File) (name string, err error) {
	sum := sha256.New()
	buffer := make([]byte, chunk)
	for total := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := io.ReadFull(from, buffer)
		if total == 0 {
			if err := check(buffer[:n]); err != nil {
				return "", err
			}
		}
		if total += int64(n); total > s.MaxBytes {
			return "", fmt.Errorf("%w: %d bytes", ErrTooLarge, s.MaxBytes)
		}
		sum.Write(buffer[:n])
		if err := f.do("write", unfinished, func() error { _, err := to.Write(buffer[:n]); return err }); err != nil {
			return "", err
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nameOf(sum), nil
		}
		if err != nil {
			return "", err
		}
	}
}

func nameOf(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil)) }

// identity tells a file from what it was before it was changed.
type identity struct {
	device, inode     uint64
	size              int64
	modified, changed unix.Timespec
}

func identityOf(st unix.Stat_t) identity {
	return identity{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim}
}

// errNotWhole: a program is not what was installed.
var errNotWhole = errors.New("it is not what was installed")

// verify compares a program's content with its name, once for as long as the
// file isn't touched. It takes no descriptor when that was done.
func (s *Store) verify(f folder, name string) error {
	path := filepath.Join(f.path, name)
	var st unix.Stat_t
	if err := unix.Fstatat(f.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil && s.whole[path] == identityOf(st) {
		return nil
	}
	file, st, err := f.open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if nameOf(sum) != name || st.Mode&0o111 == 0 {
		return fmt.Errorf("check %s: %w", path, errNotWhole)
	}
	s.whole[path] = identityOf(st)
	return nil
}

// machines are ELF's numbers of the processors that Go knows.
var machines = map[string]elf.Machine{
	"386": elf.EM_386, "amd64": elf.EM_X86_64, "arm": elf.EM_ARM, "arm64": elf.EM_AARCH64,
	"ppc64le": elf.EM_PPC64, "riscv64": elf.EM_RISCV, "s390x": elf.EM_S390,
}

// check says whether a file that begins with head can be a program here: ELF for
// this processor, or a script that names its interpreter.
func check(head []byte) error {
	if line, script := bytes.CutPrefix(head, []byte("#!")); script {
		line, _, ended := bytes.Cut(line, []byte("\n"))
		if line = bytes.TrimSpace(line); !ended || len(line) > 255 || !bytes.HasPrefix(line, []byte("/")) {
			return fmt.Errorf("%w: its first line names no interpreter by an absolute path", ErrNoProgram)
		}
		return nil
	}
	if !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		return hint.New(fmt.Errorf("%w: it begins neither with #! nor as ELF", ErrNoProgram), "give the program itself, not an archive of it")
	}
	if len(head) < 20 || head[elf.EI_DATA] != byte(elf.ELFDATA2LSB) && head[elf.EI_DATA] != byte(elf.ELFDATA2MSB) {
		return fmt.Errorf("%w: its ELF header is damaged", ErrNoProgram)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if head[elf.EI_DATA] == byte(elf.ELFDATA2MSB) {
		order = binary.BigEndian
	}
	if kind := elf.Type(order.Uint16(head[16:])); kind != elf.ET_EXEC && kind != elf.ET_DYN {
		return fmt.Errorf("%w: ELF, but %v and no executable", ErrNoProgram, kind)
	}
	machine := elf.Machine(order.Uint16(head[18:]))
	if own, known := machines[runtime.GOARCH]; known && machine != own {
		return fmt.Errorf("%w: it is for %v, and this machine is %v", ErrNoProgram, machine, own)
	}
	return nil
}
