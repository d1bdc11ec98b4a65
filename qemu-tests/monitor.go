package qemutests

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// Monitor speaks QMP, QEMU's control protocol: JSON objects over a stream, a
// greeting first, answers mixed with events.
type Monitor struct {
	connection net.Conn
	answers    *json.Decoder
}

// monitorLimit is how long QEMU itself may take to answer; the guest has no
// part in it.
const monitorLimit = 20 * time.Second

func newMonitor(connection net.Conn) (*Monitor, error) {
	m := &Monitor{connection: connection, answers: json.NewDecoder(connection)}
	var greeting struct {
		QMP json.RawMessage
	}
	if err := connection.SetDeadline(time.Now().Add(monitorLimit)); err != nil {
		return nil, err
	}
	if err := m.answers.Decode(&greeting); err != nil {
		return nil, fmt.Errorf("read QMP's greeting: %w", err)
	}
	if greeting.QMP == nil {
		return nil, errors.New("read QMP's greeting: it is another protocol")
	}
	_, err := m.Execute("qmp_capabilities")
	return m, err
}

// Execute sends a command without arguments and returns what it returned.
func (m *Monitor) Execute(command string) (json.RawMessage, error) {
	if err := m.connection.SetDeadline(time.Now().Add(monitorLimit)); err != nil {
		return nil, fmt.Errorf("QMP %s: %w", command, err)
	}
	if _, err := fmt.Fprintf(m.connection, "{\"execute\": %q}\n", command); err != nil {
		return nil, fmt.Errorf("QMP %s: %w", command, err)
	}
	for {
		var answer struct {
			Return json.RawMessage
			Error  *struct{ Class, Desc string }
		}
		if err := m.answers.Decode(&answer); err != nil {
			return nil, fmt.Errorf("QMP %s: read the answer: %w", command, err)
		}
		if answer.Error != nil {
			return nil, fmt.Errorf("QMP %s: %s: %s", command, answer.Error.Class, answer.Error.Desc)
		}
		if answer.Return != nil {
			return answer.Return, nil
		}
	}
}

// PowerButton presses the machine's power button.
func (m *Monitor) PowerButton() error {
	_, err := m.Execute("system_powerdown")
	return err
}

// Quit pulls the plug: QEMU ends at once and the guest is not told.
func (m *Monitor) Quit() error {
	_, err := m.Execute("quit")
	return err
}

// Status returns QEMU's word for the machine's state, such as "running".
func (m *Monitor) Status() (string, error) {
	answer, err := m.Execute("query-status")
	if err != nil {
		return "", err
	}
	var status struct{ Status string }
	err = json.Unmarshal(answer, &status)
	return status.Status, err
}
