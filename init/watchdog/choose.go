package watchdog

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// How good a watchdog seems before it is opened, which would arm it.
const (
	rankHardware = iota
	rankUnknown
	rankSoftware
)

type candidate struct {
	path         string
	rank, number int
}

// candidates lists the devices, the best first.
func candidates(dev, class string) []candidate {
	paths, _ := filepath.Glob(filepath.Join(dev, "watchdog[0-9]*")) // the pattern is right
	var list []candidate
	for _, path := range paths {
		name := filepath.Base(path)
		if number, err := strconv.Atoi(strings.TrimPrefix(name, "watchdog")); err == nil {
			list = append(list, candidate{path, rank(filepath.Join(class, name)), number})
		}
	}
	if old := filepath.Join(dev, "watchdog"); len(list) == 0 {
		if _, err := os.Lstat(old); err == nil {
			list = append(list, candidate{path: old, rank: rankUnknown})
		}
	}
	slices.SortFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.number, b.number))
	})
	return list
}

// rank looks a device up in sysfs: its identity, where the kernel has the option
// for that, or else whether it belongs to a piece of hardware.
func rank(folder string) int {
	if identity, err := os.ReadFile(filepath.Join(folder, "identity")); err == nil {
		if strings.TrimSpace(string(identity)) == softdog {
			return rankSoftware
		}
		return rankHardware
	}
	if _, err := os.Stat(filepath.Join(folder, "device")); err == nil {
		return rankHardware
	}
	return rankUnknown
}

// choose opens the best device that can be opened. Software is kept only if
// nothing else is found.
func choose(o Options) (*device, error) {
	if o.ioctls == nil {
		o.ioctls = kernel{}
	}
	var software *device
	var failed []error
	for _, c := range candidates(o.Dev, o.Class) {
		d, err := openDevice(c.path, o.ioctls)
		switch {
		case err != nil:
			failed = append(failed, err)
		case !d.software():
			if software != nil {
				letGo(o, software)
			}
			return d, nil
		case software == nil:
			software = d
		default:
			letGo(o, d)
		}
	}
	if software != nil {
		return software, nil
	}
	if err := errors.Join(failed...); err != nil {
		return nil, fmt.Errorf("%w that can be used: %w", ErrNone, err)
	}
	return nil, ErrNone
}

// letGo disarms a device that is not needed.
func letGo(o Options, d *device) {
	if err := d.release(); err != nil {
		o.Log.Warn("a watchdog that is not used may stay armed", "device", d.path, "reason", err)
	}
}
