package supervise

import (
	"bytes"
	"os"
	"strconv"

	"runa/init/health"
)

// readMachine reads how the whole machine is. What the kernel does not tell
// (no PSI in it) is 0.
func readMachine() health.MachineSample {
	var s health.MachineSample
	for _, one := range []struct {
		file       string
		some, full *float64
	}{
		{"/proc/pressure/cpu", &s.Some.CPU, &s.Full.CPU},
		{"/proc/pressure/memory", &s.Some.Memory, &s.Full.Memory},
		{"/proc/pressure/io", &s.Some.IO, &s.Full.IO},
	} {
		if text, err := os.ReadFile(one.file); err == nil {
			*one.some, *one.full = parsePressure(text)
		}
	}
	if text, err := os.ReadFile("/proc/vmstat"); err == nil {
		s.OOMKills = parseCounter(text, "oom_kill")
	}
	return s
}

// parsePressure reads avg10 of both lines of a PSI file, in percent (kernel
// Documentation/accounting/psi.rst).
func parsePressure(text []byte) (some, full float64) {
	for line := range bytes.Lines(text) {
		kind, rest, _ := bytes.Cut(line, []byte(" avg10="))
		value, _, _ := bytes.Cut(rest, []byte(" "))
		percent, err := strconv.ParseFloat(string(value), 64)
		if err != nil || !(percent >= 0 && percent <= 100) {
			continue
		}
		switch string(kind) {
		case "some":
			some = percent
		case "full":
			full = percent
		}
	}
	return some, full
}

// parseCounter reads a number out of a file of lines "name number".
func parseCounter(text []byte, name string) uint64 {
	for line := range bytes.Lines(text) {
		if key, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" ")); string(key) == name {
			return number(value)
		}
	}
	return 0
}
