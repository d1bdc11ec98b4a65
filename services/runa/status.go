package runa

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"runa/init/control"
	"runa/services/rmp"
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

Exit status 0: all is well; 1: something is not, and the table says what. A network that
you allowed is said and no problem, and so is what this machine can't confine.
What the words mean: docs/when-a-part-fails.md.`
}

func (s Status) run(ctx context.Context, e Environment) error {
	ctx, cancel := e.interruptible(ctx)
	defer cancel()
	status, err := control.NewClient(e.Control).Status(ctx)
	if err != nil {
		return err
	}
	status.Problems = append(status.Problems, dataProblems(status.Data)...)
	busy := e.glance(ctx)
	if s.JSON {
		err = e.printJSON(wholeStatus{status, (*inferenceStatus)(busy)})
	} else {
		err = e.showStatus(status, busy)
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
	return netWell(status.Interfaces, status.Consents) && status.Data.Mounted && len(status.Problems) == 0
}

func (e Environment) showStatus(status control.Status, busy *rmp.Stats) error {
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
	fmt.Fprintf(e.Out, "network  %s\n", e.networkLine(status))
	fmt.Fprintf(e.Out, "memory   %s\n", memoryLine(e.Meminfo))
	if busy != nil {
		fmt.Fprintf(e.Out, "model    %s\n", speedLine(*busy))
		fmt.Fprintf(e.Out, "KV       %s\n", roomLine(*busy))
	}
	if line := pressureLine(status.Pressure); line != "" {
		fmt.Fprintf(e.Out, "waiting  %s\n", line)
	}
	if line := faultsLine(status.Faults); line != "" {
		fmt.Fprintf(e.Out, "faults   %s\n", line)
	}
	e.showProblems(status)
	return nil
}

func (e Environment) showProblems(status control.Status) {
	if len(status.NotConfined) > 0 {
		fmt.Fprintln(e.Out)
	}
	for _, what := range status.NotConfined {
		fmt.Fprintf(e.Out, "not confined: %s\n", printable(what))
	}
	for _, problem := range status.Problems {
		fmt.Fprintf(e.Out, "\nproblem: %s: %s\n", problem.What, problem.Why)
		if problem.Hint != "" {
			fmt.Fprintf(e.Out, "hint:    %s\n", problem.Hint)
		}
	}
}

func (e Environment) serviceRow(service control.ServiceStatus) []string {
	now := e.Now()
	since, memory := "-", "-"
	if !service.Since.IsZero() {
		since = span(now.Sub(service.Since))
	}
	if service.MemoryBytes > 0 {
		memory = size(service.MemoryBytes)
	}
	reason := dash(strings.Join(e.reasons(service), "; "))
	return []string{service.Name, service.State, since, strconv.Itoa(service.Restarts), memory, reason}
}

// reasons is what there is to say of a service beside its state.
func (e Environment) reasons(service control.ServiceStatus) []string {
	var all []string
	say := func(text string, condition bool) {
		if condition {
			all = append(all, printable(text))
		}
	}
	say(service.Reason, service.Reason != "")
	say("step: "+service.Rung, service.Rung != "")
	say("next start in "+span(service.NextStart.Sub(e.Now())), !service.NextStart.IsZero())
	say("version "+service.Version, service.Version != "" && !service.Probation)
	say("version "+dash(service.Version)+" on probation", service.Probation)
	return all
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

func (e Environment) networkLine(status control.Status) string {
	var up, down []string
	for _, network := range status.Interfaces {
		consent, allowed := consentTo(network.Name, status.Consents)
		left := "allowed for another " + span(consent.Until.Sub(e.Now()))
		switch {
		case network.Up && allowed:
			up = append(up, network.Name+" is up, "+left)
		case network.Up:
			up = append(up, network.Name+" is up and NOT ALLOWED")
		case allowed:
			down = append(down, network.Name+" down, "+left)
		default:
			down = append(down, network.Name+" down")
		}
	}
	switch {
	case len(up) > 0:
		return "ON: " + strings.Join(up, "; ")
	case len(down) > 0:
		return "OFF (" + strings.Join(down, "; ") + ")"
	}
	return "OFF (there is no network card)"
}

// pressureLine says what programs waited for in the last ten seconds, where it
// is worth saying.
func pressureLine(p control.Pressure) string {
	var parts []string
	for _, what := range []struct {
		name  string
		share float64
	}{{"the processor", p.CPU}, {"memory", p.Memory}, {"the disk", p.IO}} {
		if what.share >= 1 {
			parts = append(parts, fmt.Sprintf("%.0f %% for %s", what.share, what.name))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ", ") + " (of the last 10 seconds)"
}

// faultsLine counts faults by class, the most frequent first.
func faultsLine(faults map[string]uint64) string {
	classes := slices.SortedFunc(maps.Keys(faults), func(a, b string) int {
		return cmp.Or(cmp.Compare(faults[b], faults[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, class := range classes {
		if faults[class] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", faults[class], class))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ", ") + " (since boot)"
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
