package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"runa/init/contain"
	"runa/init/lifecycle"
	"runa/init/manifest"
)

// ErrProbeVoid is the end of a probe that says nothing of the service, because
// what it goes over is away.
var ErrProbeVoid = errors.New("the bus over which it is probed is not there")

// Probe asks the service once in its own protocol. Without a bus a probe that
// goes over it ends in ErrProbeVoid: that is no fault of the service.
func (h *Host) Probe(s manifest.Service, done func(error)) {
	answer(h, "probe "+s.Name, s.Probe.Timeout, onlyError(func(ctx context.Context) error {
		switch s.Probe.By {
		case manifest.ProbePing:
			if h.Bus == nil || !h.Bus.Here() {
				return ErrProbeVoid
			}
			return h.Bus.Ping(ctx, s.Name)
		case manifest.ProbeBus:
			if h.Bus == nil {
				return ErrProbeVoid
			}
			return h.Bus.SelfTest(ctx)
		case manifest.ProbeExec:
			_, err := h.runBeside(ctx, s, s.Probe.Exec, s.Probe.Args, nil)
			return err
		}
		return nil
	}), asError(done))
}

// AskPolicy runs the service's policy program.
func (h *Host) AskPolicy(s manifest.Service, f Failure, done func(Advice, error)) {
	answer(h, "ask the policy of "+s.Name, s.OnFailure.Timeout, func(ctx context.Context) (Advice, error) {
		output, err := h.runBeside(ctx, s, s.OnFailure.Policy, nil, []string{
			"RUNA_CLASS=" + string(f.Class), "RUNA_REASON=" + plainWords(f.Reason),
			"RUNA_FAILURES=" + strconv.Itoa(f.Failures), "RUNA_RESTARTS=" + strconv.Itoa(f.Restarts),
			"RUNA_RUNG=" + string(f.Rung),
		})
		if err != nil {
			return Advice{}, fmt.Errorf("ask %s: %w", s.OnFailure.Policy, err)
		}
		return parseAdvice(output)
	}, done)
}

// adviceWait is the longest pause a policy program may ask for.
const adviceWait = 24 * time.Hour

// parseAdvice reads the first line of a policy program's output.
func parseAdvice(output string) (Advice, error) {
	line, _, _ := strings.Cut(output, "\n")
	words := strings.Fields(line)
	switch {
	case len(words) == 1 && words[0] == string(lifecycle.AdviceLadder),
		len(words) == 1 && words[0] == string(lifecycle.AdviceRestart),
		len(words) == 1 && words[0] == string(lifecycle.AdviceGiveUp):
		return Advice{Action: lifecycle.Advice(words[0])}, nil
	case len(words) == 2 && words[0] == string(lifecycle.AdviceWait):
		d, err := time.ParseDuration(words[1])
		if err != nil || d < 0 || d > adviceWait {
			return Advice{}, fmt.Errorf("the policy says %q: not a pause up to %v", plainWords(line), adviceWait)
		}
		return Advice{Action: lifecycle.AdviceWait, Wait: d}, nil
	}
	return Advice{}, fmt.Errorf("the policy says %q, expected is ladder, restart, wait DURATION or give-up", plainWords(line[:min(len(line), 80)]))
}

// besideOutput is how much of such a program's output is kept.
const besideOutput = 4 << 10

// runBeside runs a program confined as the service is, in a cgroup of its own,
// and returns what it wrote. When the context ends it is killed.
func (h *Host) runBeside(ctx context.Context, s manifest.Service, program string, args, env []string) (string, error) {
	spec, err := h.spec(s)
	if err != nil {
		return "", err
	}
	spec.Cgroup = h.newCgroup(s.Name+".beside", s.Limits)
	defer h.removeCgroup(s.Name, spec.Cgroup)
	reader, writer, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer reader.Close()
	spec.Exec, spec.Program, spec.Args = program, "", args
	spec.Env = append(spec.Env, env...)
	spec.Stdout, spec.Stderr = writer, writer
	process, err := h.Launcher.Start(spec)
	writer.Close()
	if err != nil {
		return "", err
	}
	var output strings.Builder
	copied := make(chan struct{})
	contain.Go("read what "+program+" says", func() {
		defer close(copied)
		io.Copy(&output, io.LimitReader(reader, besideOutput))
		io.Copy(io.Discard, reader)
	})
	stop := context.AfterFunc(ctx, func() {
		_ = contain.Call("end "+program, func() error { return process.Signal(syscall.SIGKILL) })
	})
	defer stop()
	exit, err := process.Wait()
	reader.SetReadDeadline(h.Now().Add(pipePatience)) // if somebody escaped with the other end
	<-copied
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s gave no answer in time: %w", program, ctx.Err())
	case err != nil:
		return "", err
	case exit.Status.Signaled():
		return "", fmt.Errorf("%s was ended by signal %d", program, exit.Status.Signal())
	case exit.Status.ExitStatus() != 0:
		return "", errors.New(strings.TrimSuffix(fmt.Sprintf("%s ended with status %d: %s", program, exit.Status.ExitStatus(), lastLine(output.String())), ": "))
	}
	return output.String(), nil
}

// lastLine is what a program said last, for the log.
func lastLine(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return plainWords(lines[len(lines)-1])
}
