package flash

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
)

// ask shows what will be lost and waits for the word yes.
func (o Order) ask(ctx context.Context, disk Disk) error {
	fmt.Fprintf(o.Out, "%s  %s\n", disk.Path, disk.title())
	found, err := contentsOf(disk.Path)
	switch {
	case err != nil:
		fmt.Fprintf(o.Out, "  what is on it can't be read: %v\n", err)
	case len(found) == 0:
		fmt.Fprintln(o.Out, "  no partition table and no file system that is known here")
	}
	for _, line := range found {
		fmt.Fprintf(o.Out, "  %s\n", line)
	}
	if o.Yes {
		return nil
	}
	if !o.Terminal {
		return refuse("run it on a terminal, or add --yes if you are sure of the disk", "there is no terminal to ask on whether %s may be erased", disk.Path)
	}
	fmt.Fprintf(o.Out, "All of this will be lost. Write %s to it? Type yes to go on: ", o.Image)
	answer, err := readAnswer(ctx, o.In)
	if err != nil {
		fmt.Fprintln(o.Out)
		return refuse("", "no answer: %w", err)
	}
	if answer != "yes" {
		return refuse("only the whole word counts: yes", "the answer was %q", answer)
	}
	return nil
}

// readAnswer reads a line. Ctrl-C ends the wait, though not the reading, which
// the end of the program does.
func readAnswer(ctx context.Context, in io.Reader) (string, error) {
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(in, 1024)).ReadString('\n')
		if line != "" {
			err = nil
		}
		got <- answer{strings.TrimSpace(line), err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case a := <-got:
		return a.line, a.err
	}
}

// contentsOf lists what is on the disk at path, one line each.
func contentsOf(path string) ([]string, error) {
	s, err := open(path)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return contents(s, s.size), nil
}
