package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"
)

// shelf is the folder that holds one service's snapshots, or its states set
// aside.
type shelf struct {
	folder handle
	disk   disk
	log    hclog.Logger
}

func (s shelf) close() { s.folder.close() }

// stamp is how the time stands in a name; always in UTC.
const stamp = "20060102T150405Z"

// replaced ends the name of a state that stood in for one that was given back.
const replaced = "-replaced"

var validName = regexp.MustCompile(`^[0-9]{8}-([0-9]{8}T[0-9]{6}Z)(` + replaced + `)?$`)

// parseName reads a name on the shelf; false: it is not one of ours.
func parseName(name string) (made time.Time, ok bool) {
	match := validName.FindStringSubmatch(name)
	if match == nil {
		return time.Time{}, false
	}
	made, err := time.Parse(stamp, match[1])
	return made, err == nil
}

// nextName numbers on from the newest there is, so that a clock that was set
// back doesn't make an old state the newest.
func nextName(names []string, now time.Time) string {
	number := 0
	if len(names) > 0 {
		number, _ = strconv.Atoi(names[len(names)-1][:8])
	}
	return fmt.Sprintf("%08d-%s", number+1, now.UTC().Format(stamp))
}

// openShelf makes and opens a service's shelf, and deletes what a power cut left
// unfinished there.
func (s *Store) openShelf(ctx context.Context, root, service string) (shelf, error) {
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return shelf{}, err
	}
	above := handle{path: "/"}
	for _, path := range []string{root, filepath.Join(root, service)} {
		next, err := s.ensure(path)
		if above.File != nil {
			above.close()
		}
		if err != nil {
			return shelf{}, err
		}
		above = next
	}
	opened := shelf{above, s.disk, s.Log}
	opened.sweep(ctx)
	return opened, nil
}

// ensure makes a folder that only gilgul can enter, if it isn't there.
func (s *Store) ensure(path string) (handle, error) {
	parent, err := openFolder(filepath.Dir(path))
	if err != nil {
		return handle{}, err
	}
	defer parent.close()
	made, err := s.disk.mkdir(parent, filepath.Base(path))
	if errors.Is(err, unix.EEXIST) {
		return parent.open(filepath.Base(path))
	}
	if err != nil {
		return handle{}, err
	}
	return made, s.disk.sync(parent)
}

// list gives the names of what is whole, the oldest first. What else lies there
// is left alone.
func (s shelf) list() ([]string, error) {
	var names []string
	err := s.each(func(name string) {
		if _, ok := parseName(name); !ok {
			return
		}
		if st, err := s.folder.stat(name); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			names = append(names, name)
		}
	})
	slices.Sort(names)
	return names, err
}

func (s shelf) each(do func(name string)) error {
	if _, err := s.folder.Seek(0, io.SeekStart); err != nil {
		return err
	}
	names, err := s.folder.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("read folder %q: %w", s.folder.path, err)
	}
	for _, name := range names {
		do(name)
	}
	return nil
}

// sweep deletes what is unfinished or was about to be deleted.
func (s shelf) sweep(ctx context.Context) {
	err := s.each(func(name string) {
		if !strings.HasPrefix(name, ".") {
			return
		}
		if err := s.disk.remove(ctx, s.folder, name); err != nil {
			s.log.Warn("what was left unfinished stays", "folder", s.folder.path, "reason", err)
		}
	})
	if err != nil {
		s.log.Warn("what was left unfinished stays", "reason", err)
	}
}

// unfinished is the name of what is being made.
const unfinished = ".unfinished"

// begin opens a new folder that is deleted if it doesn't get a proper name.
func (s shelf) begin() (handle, error) { return s.disk.mkdir(s.folder, unfinished) }

// abandon deletes what is unfinished because of err, also when nobody waits any
// more.
func (s shelf) abandon(ctx context.Context, err error) error {
	return errors.Join(err, s.disk.remove(context.WithoutCancel(ctx), s.folder, unfinished))
}

// finish gives what is unfinished its name, once all of it is on the disk.
func (s shelf) finish(ctx context.Context, made handle, entries int, name string) error {
	if err := s.disk.settle(ctx, made, entries); err != nil {
		return err
	}
	return s.rename(unfinished, name)
}

func (s shelf) rename(from, to string) error {
	if err := s.disk.rename(s.folder, from, to); err != nil {
		return err
	}
	return s.disk.sync(s.folder)
}

// keep deletes all but the newest n. What can't be deleted now is tried again.
func (s shelf) keep(ctx context.Context, n int) {
	names, err := s.list()
	for _, name := range names[:max(0, len(names)-n)] {
		err = errors.Join(err, s.retire(ctx, name))
	}
	if err != nil {
		s.log.Warn("old states stay on the disk", "folder", s.folder.path, "reason", err)
	}
}

// retire deletes one. It loses its name first, so that half of it is never
// taken for whole.
func (s shelf) retire(ctx context.Context, name string) error {
	if err := s.rename(name, "."+name); err != nil {
		return err
	}
	return s.disk.remove(ctx, s.folder, "."+name)
}

// giveUpOldest makes room; false: there is only one left, or none.
func (s shelf) giveUpOldest(ctx context.Context) bool {
	names, err := s.list()
	if err != nil || len(names) < 2 {
		return false
	}
	s.log.Warn("an old state is given up for room on the disk", "folder", filepath.Join(s.folder.path, names[0]))
	return s.retire(ctx, names[0]) == nil
}
