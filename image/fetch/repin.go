package fetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Change is a pin that Repin brought up to date.
type Change struct{ Name, From, To string } // versions

// Repin asks Debian's archive which versions it offers now, downloads those that
// differ from the pins file at path (apt checks the archive's signatures) and
// rewrites version, hash and size in the file; comments and all else stay. npm
// never withdraws or replaces a version, so its pins are left alone.
func (f Fetcher) Repin(ctx context.Context, path string) ([]Change, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("renew pins: %w", err)
	}
	pins, err := parsePins(text)
	if err != nil {
		return nil, fmt.Errorf("renew %s: %w", path, err)
	}
	options, err := f.aptUpdate(ctx)
	if err != nil {
		return nil, fmt.Errorf("renew pins: %w", err)
	}
	var changes []Change
	for _, pin := range pins {
		if pin.Registry != Debian {
			continue
		}
		fresh, err := f.current(ctx, pin, options)
		if err != nil {
			return nil, fmt.Errorf("renew pin %s: %w", pin.Name, err)
		}
		if fresh == pin {
			continue
		}
		text = rewritePin(text, fresh)
		changes = append(changes, Change{pin.Name, pin.Version, fresh.Version})
	}
	if len(changes) == 0 {
		return nil, nil
	}
	if _, err := parsePins(text); err != nil {
		return nil, fmt.Errorf("renew pins: the result would not be valid: %w", err)
	}
	return changes, replaceFile(path, text)
}

// current returns pin as the archive offers it now.
func (f Fetcher) current(ctx context.Context, pin Pin, options []string) (Pin, error) {
	_, candidate, err := f.aptOffers(ctx, pin.Name, options)
	if err != nil {
		return Pin{}, err
	}
	if candidate == "" {
		return Pin{}, notOffered(pin, "")
	}
	if candidate == pin.Version {
		return pin, nil
	}
	scratch, cleanup, err := f.Cache.Temp("pin-*")
	if err != nil {
		return Pin{}, err
	}
	defer cleanup()
	pin.Version = candidate
	file, err := f.download(ctx, pin, scratch)
	if err != nil {
		return Pin{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return Pin{}, err
	}
	pin.Size = info.Size()
	pin.Hash, err = hashOf(file, pin.Registry)
	return pin, err
}

// rewritePin replaces the lines version, hash and size of the entry that fresh names.
func rewritePin(text []byte, fresh Pin) []byte {
	values := map[string]string{"version": fresh.Version, "hash": fresh.Hash, "size": strconv.FormatInt(fresh.Size, 10)}
	lines := strings.SplitAfter(string(text), "\n")
	inside := false
	for i, line := range lines {
		if name, ok := strings.CutPrefix(line, "- name: "); ok {
			inside = strings.Trim(strings.TrimSpace(name), `"'`) == fresh.Name
		}
		key, _, ok := strings.Cut(strings.TrimSpace(line), ":")
		if value := values[key]; inside && ok && value != "" {
			lines[i] = "  " + key + ": " + value + "\n"
		}
	}
	return []byte(strings.Join(lines, ""))
}

// replaceFile writes text beside path and renames it into place.
func replaceFile(path string, text []byte) error {
	out, err := os.CreateTemp(filepath.Dir(path), ".pins-*")
	if err != nil {
		return fmt.Errorf("write pins: %w", err)
	}
	defer os.Remove(out.Name()) // does nothing once it was renamed
	_, err = out.Write(text)
	if err = errors.Join(err, out.Chmod(0o644), out.Sync(), out.Close()); err == nil {
		err = os.Rename(out.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write pins: %w", err)
	}
	return nil
}
