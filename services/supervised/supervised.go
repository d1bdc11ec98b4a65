package supervised

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"runa/services/hint"
)

// ExitCorruptState is the exit status of a service that found its stored state
// corrupt (EX_DATAERR of sysexits.h): gilgul sets the state aside and restores the last good one.
const ExitCorruptState = 65

// LineLimit is the longest line on the notify pipe in bytes, its end included;
// so a line is written whole or not at all (PIPE_BUF).
const LineLimit = 512

// Supervised is a service's way to gilgul. Its methods may be called from any
// goroutine; those of nil do nothing.
type Supervised struct {
	service string
	period  time.Duration // between heart-beats at most; 0: none are wanted
	notify  *os.File      // nil: nobody listens
	beats   beats
}

// FromEnvironment reads RUNA_SERVICE, RUNA_NOTIFY_FD and RUNA_HEARTBEAT. What is
// not set is not used. It takes over the descriptor; call it once in a process.
func FromEnvironment(env func(string) string) (*Supervised, error) {
	s := &Supervised{service: env("RUNA_SERVICE")}
	if s.service != "" && !isName(s.service) {
		return nil, fmt.Errorf("read RUNA_SERVICE: %q is no name of a service", s.service)
	}
	if text := env("RUNA_HEARTBEAT"); text != "" {
		period, err := time.ParseDuration(text)
		if err != nil || period <= 0 {
			return nil, hint.New(fmt.Errorf("read RUNA_HEARTBEAT: %q is no duration above 0", text), "write it as 2s or 400ms")
		}
		s.period = period
	}
	if number := env("RUNA_NOTIFY_FD"); number != "" {
		file, err := openNotify(number)
		if err != nil {
			return nil, hint.New(fmt.Errorf("read RUNA_NOTIFY_FD: %w", err), "leave it unset when no service manager waits")
		}
		s.notify = file
	}
	s.beats.start()
	return s, nil
}

// openNotify takes over the descriptor and keeps it from this process's own children.
func openNotify(number string) (*os.File, error) {
	fd, err := strconv.ParseUint(number, 10, 16)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%q is no descriptor number above 2", number)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d is not open", fd)
	}
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		return nil, fmt.Errorf("descriptor %d can't be written to", fd)
	}
	unix.CloseOnExec(int(fd))
	return os.NewFile(uintptr(fd), "RUNA_NOTIFY_FD"), nil
}

// Service is the service's name, empty if nobody supervises it.
func (s *Supervised) Service() string {
	if s == nil {
		return ""
	}
	return s.service
}

// Period is the most time between two heart-beats, 0 if none are wanted.
func (s *Supervised) Period() time.Duration {
	if s == nil {
		return 0
	}
	return s.period
}

// Ready tells that others may rely on the service.
func (s *Supervised) Ready() error { return s.tell("READY=1") }

// Degraded tells that the service works in part only, and why.
func (s *Supervised) Degraded(reason string) error { return s.tell("DEGRADED=" + reason) }

// Well tells that a service that was degraded works as it should.
func (s *Supervised) Well() error { return s.tell("WELL=1") }

// Complain tells that another service does wrong, and how that shows.
func (s *Supervised) Complain(about, evidence string) error {
	if !isName(about) {
		return fmt.Errorf("complain about %q: that is no name of a service", about)
	}
	return s.tell("COMPLAIN=" + about + " " + evidence)
}

func (s *Supervised) tell(line string) error {
	if s == nil || s.notify == nil {
		return nil
	}
	if _, err := s.notify.WriteString(oneLine(line, LineLimit-1) + "\n"); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

// oneLine is the text without line ends, in at most so many bytes: what steers
// terminals or is no UTF-8 becomes a space, what is too long is cut off.
func oneLine(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) <= most {
		return text
	}
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// isName says whether the text can be a service's name: a file's name without
// what would break a line or a key apart.
func isName(text string) bool {
	return text != "" && len(text) <= 64 && !strings.ContainsFunc(text, func(r rune) bool {
		return r != '-' && r != '_' && r != '.' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}
