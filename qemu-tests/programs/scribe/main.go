// Command scribe writes to a machine's disk what may never be lost, and says of
// each piece when it is safe: a line "safe KIND NUMBER" comes after everything
// that keeps it is flushed. Whoever pulls the plug can then ask the next start
// for all that was said to be safe. It must never say so too early.
//
//	scribe write FOLDER   writes until it is killed, going on where the folder ends
//	scribe check FOLDER   says up to which number each kind is there and whole
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("say write FOLDER or check FOLDER")

func run(args []string, out io.Writer) error {
	if len(args) != 2 {
		return errUsage
	}
	switch args[0] {
	case "write":
		return write(args[1], out)
	case "check":
		return check(args[1], out)
	}
	return fmt.Errorf("%q: %w", args[0], errUsage)
}

// kind is a way to keep pieces, which are numbered from 1.
type kind interface {
	// last is the highest number up to which every piece is there; a piece that
	// is there but not whole is an error.
	last() (int, error)
	// add keeps the next piece and returns when it is safe.
	add(number int) error
}

// open makes the folder if need be. The order is that of names.
func open(folder string) (names []string, kinds []kind, err error) {
	for _, path := range []string{folder, filepath.Join(folder, "notes")} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, nil, err
		}
		if err := sync(filepath.Dir(path)); err != nil {
			return nil, nil, err
		}
	}
	return []string{"notes", "journal", "page"}, []kind{
		notes{filepath.Join(folder, "notes")}, journal{filepath.Join(folder, "journal")}, page{filepath.Join(folder, "page")},
	}, nil
}

func check(folder string, out io.Writer) error {
	names, kinds, err := open(folder)
	if err != nil {
		return err
	}
	for i, one := range kinds {
		last, err := one.last()
		if err != nil {
			return fmt.Errorf("%s: %w", names[i], err)
		}
		if _, err := fmt.Fprintf(out, "whole %s %d\n", names[i], last); err != nil {
			return err
		}
	}
	return nil
}

func write(folder string, out io.Writer) error {
	names, kinds, err := open(folder)
	if err != nil {
		return err
	}
	numbers := make([]int, len(kinds))
	for i, one := range kinds {
		if numbers[i], err = one.last(); err != nil {
			return fmt.Errorf("%s: %w", names[i], err)
		}
	}
	for {
		for i, one := range kinds {
			numbers[i]++
			if err := one.add(numbers[i]); err != nil {
				return fmt.Errorf("%s: %w", names[i], err)
			}
			if _, err := fmt.Fprintf(out, "safe %s %d\n", names[i], numbers[i]); err != nil {
				return err
			}
		}
	}
}
