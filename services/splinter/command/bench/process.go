package bench

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// peerProcess is another process that does what a line asks and answers with
// "ok NANOSECONDS SUCCEEDED" or "error TEXT". It ends when its input does.
type peerProcess struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startProcess runs the command and waits for its first answer.
func startProcess(cmd *exec.Cmd) (*peerProcess, error) {
	p := &peerProcess{cmd: cmd}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if _, _, err := p.answer(); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *peerProcess) stop() {
	p.in.Close()
	p.cmd.Wait()
}

func (p *peerProcess) do(operation string, a, b int) (time.Duration, int, error) {
	if err := p.ask(operation, a, b); err != nil {
		return 0, 0, err
	}
	return p.answer()
}

func (p *peerProcess) ask(operation string, a, b int) error {
	_, err := fmt.Fprintf(p.in, "%s %d %d\n", operation, a, b)
	return err
}

func (p *peerProcess) answer() (time.Duration, int, error) {
	line, err := p.out.ReadString('\n')
	if err != nil {
		return 0, 0, fmt.Errorf("the other process did not answer: %w", err)
	}
	if text, failed := strings.CutPrefix(strings.TrimSpace(line), "error "); failed {
		return 0, 0, fmt.Errorf("the other process: %s", text)
	}
	var elapsed time.Duration
	var succeeded int
	if _, err := fmt.Sscanf(line, "ok %d %d", &elapsed, &succeeded); err != nil {
		return 0, 0, fmt.Errorf("the other process answered %q: %w", line, err)
	}
	return elapsed, succeeded, nil
}
