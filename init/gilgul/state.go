package gilgul

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"runa/init/control"
	"runa/init/datadisk"
	"runa/init/netguard"
	"runa/services/hint"
)

// newProblem says what doesn't work, why, and what a person can do.
func newProblem(what string, err error) control.Problem {
	return control.Problem{What: what, Why: err.Error(), Hint: hint.Of(err)}
}

func problemText(p control.Problem) string {
	text := p.What + ": " + p.Why
	if p.Hint != "" {
		text += " (" + p.Hint + ")"
	}
	return text
}

// state is what is known about the machine besides its services.
type state struct {
	mu       sync.Mutex
	problems []control.Problem
	data     *datadisk.Data
	dataErr  error
	// dataKnown is closed when data or dataErr is.
	dataKnown chan struct{}
}

// problemsKept bounds what is told; a folder of ten thousand bad manifests has
// one for each.
const problemsKept = 64

func (s *state) add(p control.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.problems) < problemsKept && !slices.Contains(s.problems, p) {
		s.problems = append(s.problems, p)
	}
}

func (s *state) list() []control.Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.problems)
}

func (s *state) setData(d *datadisk.Data, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data, s.dataErr = d, err
	select {
	case <-s.dataKnown:
	default:
		close(s.dataKnown)
	}
}

// mounted returns the data disk, or why there is none; both are nil while it
// is looked for.
func (s *state) mounted() (*datadisk.Data, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data, s.dataErr
}

// dataSentence tells about /data on the banner.
func dataSentence(d *datadisk.Data, err error) string {
	switch {
	case err != nil:
		return "NOT MOUNTED: " + err.Error()
	case d == nil:
		return "looking for the disk"
	}
	size, free := d.Usage()
	return fmt.Sprintf("%s, %s of %s free", d.Device, bytesText(free), bytesText(size))
}

// bytesText gives a size in units of 1000, as disks are sold.
func bytesText(n uint64) string {
	value, unit := float64(n), "B"
	for _, u := range []string{"kB", "MB", "GB", "TB"} {
		if value < 1000 {
			break
		}
		value, unit = value/1000, u
	}
	if value >= 100 || unit == "B" {
		return fmt.Sprintf("%.0f %s", value, unit)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// networkSentence tells about the interfaces; one that is up without anybody's
// consent is said in capitals, for it should not be.
func networkSentence(list []netguard.Interface, consents []netguard.Consent, err error) string {
	if err != nil {
		return "UNKNOWN: " + err.Error()
	}
	allowed := map[string]string{}
	for _, c := range consents {
		allowed[c.Interface] = c.Interface + " until " + c.Until.Format("15:04:05")
	}
	var down, up, on []string
	for _, l := range list {
		switch {
		case l.Up && allowed[l.Name] != "":
			on = append(on, allowed[l.Name])
		case l.Up:
			up = append(up, l.Name)
		case l.Kind != "loopback":
			down = append(down, l.Name)
		}
	}
	switch {
	case len(up) > 0:
		return "NOT OFF: " + strings.Join(up, ", ") + " up"
	case len(on) > 0:
		return "allowed: " + strings.Join(on, ", ")
	case len(down) > 0:
		return "OFF (" + strings.Join(down, ", ") + " down)"
	}
	return "OFF (no interface)"
}

// welcome is the text that /etc/issue adds to the banner; without one the
// banner does as well.
func welcome() string {
	text, err := os.ReadFile("/etc/issue")
	if err != nil || len(text) > 4096 {
		return ""
	}
	return string(text)
}
