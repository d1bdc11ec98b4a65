package flash

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Host is where this machine tells of its disks. Tests give a tree of their own.
type Host struct {
	Proc, Sys string
	// Number returns the device number of the block device at path, following
	// links, or an error that wraps ErrNotBlock.
	Number func(path string) (Number, error)
}

// Here is the machine this program runs on.
var Here = Host{Proc: "/proc", Sys: "/sys", Number: numberOf}

// Number is a block device's number.
type Number struct{ Major, Minor uint32 }

func (n Number) String() string { return fmt.Sprintf("%d:%d", n.Major, n.Minor) }

// ErrNotBlock is wrapped when a path is something else than a block device.
var ErrNotBlock = errors.New("not a block device")

func numberOf(path string) (Number, error) {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return Number{}, &os.PathError{Op: "look at", Path: path, Err: err}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFBLK {
		return Number{}, fmt.Errorf("%s is %w", path, ErrNotBlock)
	}
	return Number{unix.Major(stat.Rdev), unix.Minor(stat.Rdev)}, nil
}

// mount is one line of /proc/self/mountinfo, see proc_pid_mountinfo(5).
type mount struct {
	number Number // of the file system; some, like btrfs, give one that is no block device's
	point  string
	source string // often the device's path
}

// swap is one line of /proc/swaps.
type swap struct{ path string }

// mounts lists what is mounted for this process.
func (h Host) mounts() ([]mount, error) {
	return readLines(filepath.Join(h.Proc, "self/mountinfo"), parseMount)
}

// swaps lists the swap space in use. A kernel without swap has no such file.
func (h Host) swaps() ([]swap, error) {
	list, err := readLines(filepath.Join(h.Proc, "swaps"), parseSwap)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return list, err
}

// readLines parses each line of a file of the kernel's; parse tells whether a line
// says anything.
func readLines[T any](path string, parse func(string) (T, bool, error)) ([]T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := parseLines(f, parse)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return list, nil
}

func parseLines[T any](r io.Reader, parse func(string) (T, bool, error)) ([]T, error) {
	var list []T
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20) // overlay file systems have options of many kilobytes
	for n := 1; lines.Scan(); n++ {
		one, ok, err := parse(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if ok {
			list = append(list, one)
		}
	}
	return list, lines.Err()
}

func parseMount(line string) (mount, bool, error) {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return mount{}, false, nil
	}
	end := -1 // the "-" behind the optional fields, which begin with the seventh
	for i := 6; i < len(fields); i++ {
		if fields[i] == "-" {
			end = i
			break
		}
	}
	if end < 0 || len(fields) < end+2 {
		return mount{}, false, fmt.Errorf("%q: too few fields for a mount", line)
	}
	number, err := parseNumber(fields[2])
	if err != nil {
		return mount{}, false, err
	}
	m := mount{number: number, point: unescape(fields[4])}
	if len(fields) > end+2 { // an empty source leaves no field
		m.source = unescape(fields[end+2])
	}
	return m, true, nil
}

func parseSwap(line string) (swap, bool, error) {
	fields := strings.Fields(line)
	if len(fields) == 0 || !strings.HasPrefix(fields[0], "/") { // the heading
		return swap{}, false, nil
	}
	return swap{path: unescape(fields[0])}, true, nil
}

func parseNumber(text string) (Number, error) {
	major, minor, ok := strings.Cut(strings.TrimSpace(text), ":")
	a, errA := strconv.ParseUint(major, 10, 32)
	b, errB := strconv.ParseUint(minor, 10, 32)
	if !ok || errA != nil || errB != nil {
		return Number{}, fmt.Errorf("%q is no device number: expected MAJOR:MINOR", text)
	}
	return Number{uint32(a), uint32(b)}, nil
}

// unescape undoes the kernel's \ooo, by which it writes blanks and backslashes.
func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if code, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
