package usermode

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"runa/services/hint"
)

// Places are where a user's gilgul keeps things (the XDG base directory
// specification; without XDG_RUNTIME_DIR a folder of the user's own in /tmp).
type Places struct {
	Programs  string // folder of gilgul itself and Runa's other programs
	Manifests string
	Data      string
	Run       string // bus and control socket; gone at reboot
	Bus       string
	Control   string
}

func placesOf(env func(string) string) (Places, error) {
	self, err := os.Executable()
	if err != nil {
		return Places{}, fmt.Errorf("find gilgul's own folder: %w", err)
	}
	home := env("HOME")
	if !filepath.IsAbs(home) {
		return Places{}, hint.New(errors.New("find your home folder: HOME is not set"), "set HOME")
	}
	run := env("XDG_RUNTIME_DIR")
	if run == "" {
		run = fmt.Sprintf("/tmp/runa-%d", os.Getuid())
	}
	p := Places{
		Programs:  filepath.Dir(self),
		Manifests: filepath.Join(cmp.Or(env("XDG_CONFIG_HOME"), filepath.Join(home, ".config")), "runa", "services"),
		Data:      filepath.Join(cmp.Or(env("XDG_DATA_HOME"), filepath.Join(home, ".local", "share")), "runa"),
		Run:       filepath.Join(run, "runa"),
	}
	p.Bus, p.Control = filepath.Join(p.Run, "bus", "bus"), filepath.Join(p.Run, "control.sock")
	return p, nil
}

func (p Places) program(name string) string { return filepath.Join(p.Programs, name) }

// imports is the folder that models are added from.
func (p Places) imports() string { return filepath.Join(p.Data, "import") }

// make makes the folders, closed to everybody else.
func (p Places) make() error {
	for _, folder := range []string{filepath.Dir(p.Run), p.Run, p.Manifests, p.Data, filepath.Dir(p.Bus)} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("make your folder %s: %w", folder, err)
		}
	}
	info, err := os.Lstat(p.Run)
	if err != nil {
		return fmt.Errorf("look at %s: %w", p.Run, err)
	}
	var s unix.Stat_t
	if err := unix.Lstat(p.Run, &s); err != nil || !info.IsDir() || int(s.Uid) != os.Getuid() || info.Mode().Perm()&0o077 != 0 {
		return hint.New(fmt.Errorf("use %s: it is not a folder that only you can open", p.Run), "remove it, or set XDG_RUNTIME_DIR to a folder of yours")
	}
	return nil
}

// lock makes sure that one gilgul runs for this user; the lock ends with the file.
func (p Places) lock() (*os.File, error) {
	path := filepath.Join(p.Run, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make sure that only one gilgul runs: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, hint.New(errors.New("start a user's gilgul: one runs already"), "ask it: RUNA_CONTROL=%s runa status", p.Control)
	}
	return f, nil
}

//go:embed manifests/*.yaml
var manifests embed.FS

// writeManifests fills the values in and writes each manifest that is not there.
func writeManifests(folder string, values map[string]string) ([]string, error) {
	entries, err := manifests.ReadDir("manifests")
	if err != nil {
		return nil, err
	}
	var wrote []string
	for _, entry := range entries {
		content, err := manifests.ReadFile("manifests/" + entry.Name())
		if err != nil {
			return wrote, err
		}
		text := string(content)
		for name, value := range values {
			text = strings.ReplaceAll(text, name, value)
		}
		path := filepath.Join(folder, entry.Name())
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return wrote, fmt.Errorf("write a manifest: %w", err)
		}
		_, err = f.WriteString(text)
		if err = errors.Join(err, f.Close()); err != nil {
			return wrote, fmt.Errorf("write a manifest: %w", err)
		}
		wrote = append(wrote, path)
	}
	return wrote, nil
}
