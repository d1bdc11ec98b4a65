package console

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// State is what the banner tells about the machine at one moment.
type State struct {
	Version  string
	Services []Service
	Data     string // a sentence: where /data is, or why it isn't
	Network  string // a sentence
	Problems []string
	Root     bool   // the shell is root's
	Welcome  string // how to begin: the text of /etc/issue
}

// Service is one line about a service.
type Service struct {
	Name, State, Reason string
}

// shownProblems bounds how much of a terminal problems may take.
const shownProblems = 4

// Banner renders s in plain ASCII, as a serial line needs it.
func Banner(s State) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nRUNA %s - private conversations, on this machine alone\n\n", s.Version)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, service := range s.Services {
		fmt.Fprintf(w, "  %s\t%s\n", service.Name, stateText(service))
	}
	fmt.Fprintf(w, "  data\t%s\n", s.Data)
	fmt.Fprintf(w, "  network\t%s\n", s.Network)
	w.Flush()
	if n := len(s.Problems); n > 0 {
		fmt.Fprintf(&b, "\n%s:\n", count(n, "problem"))
		for _, p := range s.Problems[:min(n, shownProblems)] {
			fmt.Fprintf(&b, "  - %s\n", oneLine(p))
		}
		if n > shownProblems {
			fmt.Fprintf(&b, "  and %d more: runa status\n", n-shownProblems)
		}
	}
	b.WriteString("\nThere is no password yet: whoever reaches this console is its owner.\n")
	if s.Root {
		b.WriteString("gilgul.console=root is set: the shell is ROOT and can change and read everything.\n")
	}
	if welcome := strings.TrimSpace(s.Welcome); welcome != "" {
		b.WriteString(welcome + "\n")
	}
	b.WriteString("\n")
	return ascii(b.String())
}

func stateText(s Service) string {
	if s.State == "ready" || s.State == "starting" || s.Reason == "" {
		return s.State // why it starts is news to nobody
	}
	return s.State + ": " + oneLine(s.Reason)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func oneLine(s string) string {
	return strings.Join(strings.Fields(s), " ")
}

// ascii keeps what a file or a device is called from moving the cursor.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r >= ' ' && r <= '~' {
			return r
		}
		return '?'
	}, s)
}

// news tells how the start went since the banner was shown: after is the time
// from power-on to ready, 0 when something isn't ready.
func news(shown, now State, after time.Duration) string {
	var b strings.Builder
	for _, p := range now.Problems[min(len(shown.Problems), len(now.Problems)):] {
		fmt.Fprintf(&b, "Problem: %s\n", oneLine(p))
	}
	if after > 0 {
		fmt.Fprintf(&b, "Ready in %.1f s.\n", after.Seconds())
		return ascii(b.String())
	}
	var waiting []string
	for _, s := range now.Services {
		if s.State != "ready" && s.State != "done" {
			waiting = append(waiting, s.Name+" is "+s.State)
		}
	}
	if len(waiting) > 0 {
		fmt.Fprintf(&b, "Not ready yet: %s. You can begin all the same; runa status tells more.\n", strings.Join(waiting, ", "))
	}
	return ascii(b.String())
}
