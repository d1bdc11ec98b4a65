package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"runa/init/contain"
	"runa/init/terminal"
)

// Config is what every terminal's loop needs.
type Config struct {
	// State tells what the banner shows; it must answer at once.
	State func() State
	// Settled is closed when every service is ready or clearly won't be soon;
	// ReadyAfter gives the time from power-on to ready, 0 when it isn't.
	Settled    <-chan struct{}
	ReadyAfter func() time.Duration
	// Patience is how long the prompt waits for Settled.
	Patience time.Duration
	// Account tells who logs in, asked at each login.
	Account func() Account
	// Files is closed when it is known whether the disk with people's files is there;
	// a login waits for that too, no longer than Patience.
	Files <-chan struct{}
	Start Start
	// Rescues carries what PID 1 can't solve; the first free terminal takes it.
	Rescues <-chan Trouble
	Log     hclog.Logger
}

// Back-off between sessions that fail or end at once.
const (
	quick       = 2 * time.Second
	longestWait = 30 * time.Second
)

// Serve gives one terminal to one person after the other until ctx is done.
func Serve(ctx context.Context, t terminal.Terminal, c Config) {
	failures := 0
	for ctx.Err() == nil {
		began := time.Now()
		err := c.session(ctx, t)
		if time.Since(began) > quick && err == nil {
			failures = 0
			continue
		}
		if err != nil {
			c.Log.Warn("a console session failed", "terminal", t.Path, "reason", err)
		}
		select {
		case <-time.After(backOff(failures)):
		case <-ctx.Done():
		}
		failures++
	}
}

// backOff is nothing at first, then 1 s, 2 s, 4 s up to longestWait.
func backOff(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	return min(time.Second<<min(failures-1, 10), longestWait)
}

// session is one banner, one login and one shell.
func (c Config) session(ctx context.Context, t terminal.Terminal) error {
	f, err := t.Open(unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	if err := t.Prepare(f); err != nil {
		return err
	}
	trouble, err := c.login(ctx, f)
	if err != nil || ctx.Err() != nil {
		return err
	}
	if trouble != nil {
		f.Close() // the login is still reading; what is typed now is for the rescue
		defer close(trouble.Over)
		return Rescue(t, trouble.Reason, c.Start)
	}
	status, err := runShell(t, c.whoLogsIn(ctx, f), c.Start)
	if err != nil {
		fmt.Fprintf(f, "error: %v\n", err)
		return err
	}
	if text := ended(status); text != "" && ctx.Err() == nil {
		terminal.All{t}.Write([]byte("\r\n" + text + "\r\n"))
	}
	return nil
}

// login shows the banner and returns when Enter was pressed, or with the
// trouble that needs a rescue.
func (c Config) login(ctx context.Context, screen io.ReadWriter) (*Trouble, error) {
	shown := c.State()
	if _, err := io.WriteString(screen, Banner(shown)); err != nil {
		return nil, fmt.Errorf("show the banner: %w", err)
	}
	entered := make(chan error, 1)
	contain.Go("read a line of the console", func() {
		entered <- contain.Call("read a line of the console", func() error { return readLine(screen) })
	})
	patience := time.NewTimer(c.Patience)
	defer patience.Stop()
	select {
	case <-c.Settled:
	case <-patience.C:
	case err := <-entered:
		return nil, err // somebody who is in a hurry
	case trouble := <-c.Rescues:
		return &trouble, nil
	case <-ctx.Done():
		return nil, nil
	}
	io.WriteString(screen, news(shown, c.State(), c.ReadyAfter()))
	io.WriteString(screen, "runa login: press Enter ")
	select {
	case err := <-entered:
		return nil, err
	case trouble := <-c.Rescues:
		return &trouble, nil
	case <-ctx.Done():
		return nil, nil
	}
}

// whoLogsIn waits until it is known where that person's files are, so that nobody
// who is in a hurry begins at a place whose content will be lost, and tells if it is so.
func (c Config) whoLogsIn(ctx context.Context, screen io.Writer) Account {
	select {
	case <-c.Files:
	default:
		io.WriteString(screen, "One moment: looking for the disk with your files.\n")
		select {
		case <-c.Files:
		case <-time.After(c.Patience):
		case <-ctx.Done():
		}
	}
	account := c.Account()
	if account.Temporary {
		io.WriteString(screen, "/data is not there (runa status says why): what you save now is lost when the machine is switched off.\n")
	}
	return account
}

var errHungUp = errors.New("read from the terminal: it was hung up")

// readLine reads what was typed up to Enter and forgets it.
func readLine(r io.Reader) error {
	buffer := make([]byte, 256)
	for {
		n, err := r.Read(buffer)
		if n > 0 && buffer[n-1] == '\n' {
			return nil
		}
		if errors.Is(err, io.EOF) && n == 0 {
			return errHungUp // or ctrl-D, which looks the same
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("read from the terminal: %w", err)
		}
	}
}
