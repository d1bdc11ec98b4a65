package runa

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"runa/init/control"
)

// Status is `runa status`: how every part is.
type Status struct {
	JSON bool `name:"json" help:"Print all of it as JSON, for programs."`
}

// Help adds what `runa status --help` shows below the usage.
func (Status) Help() string {
	return `Examples:
  runa status
  runa status --json
  runa status > /dev/null && echo all is well

Exit status 0: all is well; 1: something is not, and the table says what.`
}

func (s Status) run(ctx context.Context, e Environment) error {
	ctx, cancel := e.interruptible(ctx)
	defer cancel()
	status, err := control.NewClient(e.Control).Status(ctx)
	if err != nil {
		return err
	}
	status.Problems = append(status.Problems, dataProblems(status.Data)...)
	if s.JSON {
		encoder := json.NewEncoder(e.Out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(status)
	} else {
		err = e.showStatus(status)
	}
	if err == nil && !well(status) {
		return errSaid
	}
	return err
}

// wellStates are the states in which a service needs nobody's attention: it
// works, it has done its work, or a person stopped it.
var wellStates = []string{"ready", "done", "defined"}

// well reports whether there is nothing that a person should look at.
func well(status control.Status) bool {
	for _, service := range status.Services {
		if !slices.Contains(wellStates, service.State) {
			return false
		}
	}
	for _, network := range status.Interfaces {
		if network.Up {
			return false
		}
	}
	return status.Data.Mounted && len(status.Problems) == 0
}

func (e Environment) showStatus(status control.Status) error {
	ready := "not everything is ready yet"
	if status.ReadyAfter > 0 {
		ready = "everything was ready after " + span(status.ReadyAfter)
	}
	fmt.Fprintf(e.Out, "Runa %s on Linux %s, up %s; %s\n\n", status.Version, status.Kernel, span(status.Uptime), ready)
	table := tabwriter.NewWriter(e.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVICE\tSTATE\tSINCE\tRESTARTS\tMEMORY\tREASON")
	for _, service := range status.Services {
		fmt.Fprintln(table, strings.Join(e.serviceRow(service), "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(e.Out, "\ndata     %s\n", dataLine(status.Data))
	fmt.Fprintf(e.Out, "network  %s\n", networkLine(status.Interfaces))
	fmt.Fprintf(e.Out, "memory   %s\n", memoryLine(e.Meminfo))
	for _, problem := range status.Problems {
		fmt.Fprintf(e.Out, "\nproblem: %s: %s\n", problem.What, problem.Why)
		if problem.Hint != "" {
			fmt.Fprintf(e.Out, "hint:    %s\n", problem.Hint)
		}
	}
	return nil
}

func (e Environment) serviceRow(service control.ServiceStatus) []string {
	now := e.Now()
	since, memory, reason := "-", "-", service.Reason
	if !service.Since.IsZero() {
		since = span(now.Sub(service.Since))
	}
	if service.MemoryBytes > 0 {
		memory = size(service.MemoryBytes)
	}
	if !service.NextStart.IsZero() {
		reason = strings.TrimPrefix(reason+"; next start in "+span(service.NextStart.Sub(now)), "; ")
	}
	return []string{service.Name, service.State, since, strconv.Itoa(service.Restarts), memory, dash(reason)}
}

// leastFree is how much room a service needs to write what it must not lose.
const leastFree = 1 << 20

// dataProblems returns what a person should know of /data beside its state.
func dataProblems(data control.DataStatus) []control.Problem {
	if !data.Mounted || data.FreeBytes >= leastFree {
		return nil
	}
	return []control.Problem{{
		What: "/data",
		Why:  fmt.Sprintf("the disk is full: %s free of %s", size(data.FreeBytes), size(data.SizeBytes)),
		Hint: "remove what you do not need; ls -l /data/models shows the largest files",
	}}
}

func dataLine(data control.DataStatus) string {
	if !data.Mounted {
		return "NOT MOUNTED: " + data.Reason
	}
	line := fmt.Sprintf("%s, %s free of %s", data.Device, size(data.FreeBytes), size(data.SizeBytes))
	if data.Reason != "" {
		line += "; " + data.Reason
	}
	return line
}

func networkLine(interfaces []control.InterfaceStatus) string {
	var up, down []string
	for _, network := range interfaces {
		if network.Up {
			up = append(up, network.Name)
		} else {
			down = append(down, network.Name)
		}
	}
	switch {
	case len(up) > 0:
		return "ON: " + strings.Join(up, ", ") + " is up"
	case len(down) > 0:
		return "OFF (" + strings.Join(down, ", ") + " down)"
	}
	return "OFF (there is no network card)"
}

// memoryLine reads how much memory there is from a file of /proc/meminfo's
// format, which counts in KiB.
func memoryLine(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Sprintf("unknown: %v", err)
	}
	defer file.Close()
	total, available := memory(file)
	return fmt.Sprintf("%s available of %s", size(available), size(total))
}

func memory(meminfo io.Reader) (total, available uint64) {
	for lines := bufio.NewScanner(meminfo); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		kibibytes, err := strconv.ParseUint(words[1], 10, 54)
		if err != nil {
			continue
		}
		switch words[0] {
		case "MemTotal:":
			total = kibibytes << 10
		case "MemAvailable:":
			available = kibibytes << 10
		}
	}
	return total, available
}

// clock writes a log line's time: the time of day is enough on a machine without a network
// clock, where a date says little.
func clock(t time.Time) string { return t.Format("15:04:05.000") }
