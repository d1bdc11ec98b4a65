package command

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"runa/services/hint"
	"runa/services/splinter"
	"runa/services/splinter/interop"
)

const formatV4 = "libsplinter-v4"

type exportCommand struct {
	Prefix     string `arg:"" optional:"" help:"Only keys that begin with it."`
	Format     string `help:"json or libsplinter-v4." enum:"json,libsplinter-v4" default:"json"`
	Output     string `help:"The file to write, whole or not at all; without it the standard output." short:"o" placeholder:"FILE"`
	Slots      int    `help:"Slots of a libsplinter file; default twice the keys, at least 1024." placeholder:"N"`
	ValueMax   int    `help:"Longest value of a libsplinter file; default what is needed, at least 4096." placeholder:"BYTES"`
	Embeddings bool   `help:"A libsplinter file with slots of 3200 bytes, for a library built with embeddings."`
}

func (c *exportCommand) Help() string {
	return `Each key goes out as it was at one instant; keys may be of slightly different
instants. What a format cannot carry is said on the standard error.

Examples:
  splinter export > bus.json
  splinter export memory/ -o memory.json
  splinter export --format libsplinter-v4 -o /dev/shm/splinter_debug`
}

func (c *exportCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error {
		entries, err := b.Snapshot(c.Prefix)
		if err != nil {
			return err
		}
		out := make([]interop.Entry, len(entries))
		for i, n := range entries {
			out[i] = interop.Entry{Key: n.Key, Value: n.Value, Version: n.Version, Type: n.Meta.Type, Labels: n.Meta.Labels, TTL: n.Meta.TTL, HalfLife: n.Meta.HalfLife}
		}
		return c.write(e, out)
	})
}

func (c *exportCommand) write(e environment, entries []interop.Entry) (err error) {
	if c.Output == "" {
		return c.encode(e, e.Out, entries)
	}
	file, err := os.CreateTemp(filepath.Dir(c.Output), ".export-*")
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer os.Remove(file.Name())
	err = c.encode(e, file, entries)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(file.Name(), c.Output)
	}
	if err != nil {
		return fmt.Errorf("export to %s: %w", c.Output, err)
	}
	return nil
}

func (c *exportCommand) encode(e environment, w io.Writer, entries []interop.Entry) error {
	if c.Format == "json" {
		return interop.WriteJSON(w, entries)
	}
	problems, err := interop.WriteV4(w, entries, interop.V4Options{Slots: c.Slots, ValueMax: c.ValueMax, Embeddings: c.Embeddings})
	e.say(problems)
	return err
}

func (e environment) say(problems []interop.Problem) {
	for _, p := range problems {
		fmt.Fprintf(e.Err, "%s: %s\n", printable(p.Key), p.Reason)
	}
}

type importCommand struct {
	File   string `arg:"" help:"The file; - reads the standard input."`
	Format string `help:"json, libsplinter-v4, or auto: what its first bytes say." enum:"auto,json,libsplinter-v4" default:"auto"`
	Keep   bool   `help:"Leave keys as they are that are there."`
	Prefix string `help:"Put this before every key." placeholder:"TEXT"`
	Check  bool   `help:"Read the file and say what is in it; change nothing." name:"dry-run"`
}

func (c *importCommand) Help() string {
	return `The file is read whole before the first key is set: a bad file changes nothing.
Keys get versions of this bus; a time to live begins anew.

Examples:
  splinter import bus.json
  splinter import --keep defaults.json
  splinter import --prefix old/ /dev/shm/splinter_debug`
}

func (c *importCommand) Run(e environment) error {
	entries, err := c.read(e)
	if err != nil {
		return fmt.Errorf("import %s: %w", c.File, err)
	}
	return e.withBus(func(b *splinter.Bus) error {
		info, err := b.Info()
		if err != nil {
			return err
		}
		for _, n := range entries {
			if len(c.Prefix)+len(n.Key) > splinter.MaxKey || len(n.Value) > info.ValueMax || len(n.Type) > splinter.MaxType {
				return hint.New(fmt.Errorf("import %s: key %q with a type of %d bytes and a value of %d: the bus takes keys to %d bytes, types to %d and values to %d",
					c.File, c.Prefix+n.Key, len(n.Type), len(n.Value), splinter.MaxKey, splinter.MaxType, info.ValueMax), "nothing was changed")
			}
		}
		if c.Check {
			fmt.Fprintf(e.Out, "%d keys\n", len(entries))
			return nil
		}
		return c.apply(e, b, entries)
	})
}

func (c *importCommand) apply(e environment, b *splinter.Bus, entries []interop.Entry) error {
	set, kept := 0, 0
	for _, n := range entries {
		key := c.Prefix + n.Key
		if c.Keep {
			if _, err := b.Describe(key); err == nil {
				kept++
				continue
			}
		}
		if err := b.SetWith(key, n.Value, splinter.Meta{Type: n.Type, Labels: n.Labels, TTL: n.TTL, HalfLife: n.HalfLife}); err != nil {
			return fmt.Errorf("import %s: after %d of %d keys: %w", c.File, set, len(entries), err)
		}
		set++
	}
	fmt.Fprintf(e.Out, "%d keys set, %d kept\n", set, kept)
	return nil
}

func (c *importCommand) read(e environment) ([]interop.Entry, error) {
	if c.File == "-" {
		data, err := io.ReadAll(e.In)
		if err != nil {
			return nil, err
		}
		return c.decode(e, bytes.NewReader(data), int64(len(data)))
	}
	file, err := os.Open(c.File)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		data, err := io.ReadAll(file)
		if err != nil {
			return nil, err
		}
		return c.decode(e, bytes.NewReader(data), int64(len(data)))
	}
	return c.decode(e, file, info.Size())
}

func (c *importCommand) decode(e environment, r io.ReaderAt, size int64) ([]interop.Entry, error) {
	format := c.Format
	if format == "auto" {
		first := make([]byte, 4)
		n, _ := r.ReadAt(first, 0) // what is too short is read, and refused, as JSON
		format = "json"
		if strings.HasPrefix(string(first[:n]), "TNLS") {
			format = formatV4
		}
	}
	if format == "json" {
		return interop.ReadJSON(io.NewSectionReader(r, 0, size))
	}
	entries, problems, err := interop.ReadV4(r, size)
	e.say(problems)
	return entries, err
}
