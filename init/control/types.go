// Package control is how a person's commands talk to gilgul: HTTP with JSON
// over a unix socket. It owns the messages, the server with its rule of who may
// ask what, and the client. It must never act itself: everything is asked of a
// Backend.
//
//	GET  /v1/status                                   Status
//	GET  /v1/logs?service=NAME&lines=N&follow=true    one LogLine of JSON per line
//	POST /v1/services/NAME/{start,stop,restart}
//	POST /v1/power/{off,reboot}
//
// The kernel tells who asks (SO_PEERCRED). Reading is for root, the owner (uid
// 1000) and group runa (gid 100); changing is for root and the owner. A refusal
// is a JSON Failure with a proper status code.
package control

import (
	"context"
	"errors"
	"time"
)

// DefaultPath is the control socket; RUNA_CONTROL overrides it.
const DefaultPath = "/run/gilgul/control.sock"

// Status is what gilgul knows of the whole system.
type Status struct {
	Version    string            `json:"version"`
	Kernel     string            `json:"kernel"`
	Uptime     time.Duration     `json:"uptime_ns"`
	ReadyAfter time.Duration     `json:"ready_after_ns"` // boot to everything ready; 0 if not yet
	Services   []ServiceStatus   `json:"services"`
	Data       DataStatus        `json:"data"`
	Interfaces []InterfaceStatus `json:"interfaces"`
	Problems   []Problem         `json:"problems"`
}

// ServiceStatus is the state of one service.
type ServiceStatus struct {
	Name        string    `json:"name"`
	State       string    `json:"state"`  // lifecycle.Phase as text
	Reason      string    `json:"reason"` // why it is in that state; may be empty
	PID         int       `json:"pid"`    // 0: no process
	Since       time.Time `json:"since"`  // when it got into that state
	Restarts    int       `json:"restarts"`
	NextStart   time.Time `json:"next_start,omitzero"` // in backoff
	MemoryBytes uint64    `json:"memory_bytes"`
	Needs       []string  `json:"needs"`
}

// DataStatus says whether the writable partition is there.
type DataStatus struct {
	Mounted   bool   `json:"mounted"`
	Device    string `json:"device"`
	Reason    string `json:"reason"` // why not, if it is not mounted
	SizeBytes uint64 `json:"size_bytes"`
	FreeBytes uint64 `json:"free_bytes"`
}

// InterfaceStatus is one network interface.
type InterfaceStatus struct {
	Name string `json:"name"`
	Up   bool   `json:"up"`
	Kind string `json:"kind"`
}

// Problem is something a person should know of that is not a service's state,
// such as a bad manifest.
type Problem struct {
	What string `json:"what"`
	Why  string `json:"why"`
	Hint string `json:"hint"`
}

// LogLine is one line a service wrote. Lost counts the lines that this reader
// missed just before it.
type LogLine struct {
	Time    time.Time `json:"time"`
	Service string    `json:"service"`
	Text    string    `json:"text"`
	Lost    uint64    `json:"lost,omitempty"`
}

// Failure is the body of every answer that is not a success.
type Failure struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// The actions on a service and on the machine.
const (
	Start    = "start"
	Stop     = "stop"
	Restart  = "restart"
	PowerOff = "off"
	Reboot   = "reboot"
)

// Errors that a Backend wraps so that the server can answer with the right
// code, and that the client gives back.
var (
	ErrNotFound  = errors.New("not found")
	ErrForbidden = errors.New("not allowed")
	ErrInvalid   = errors.New("not understood")
)

// Backend is what the server needs of gilgul. Its methods may be called from
// many goroutines at once.
type Backend interface {
	Status() Status
	// Logs hands the newest lines of a service (of all if service is "") to each
	// and, if follow, every new one until ctx ends or each fails.
	Logs(ctx context.Context, service string, lines int, follow bool, each func(LogLine) error) error
	// Service does one of Start, Stop and Restart; ErrNotFound for an unknown name.
	Service(name, action string) error
	// Power begins PowerOff or Reboot and returns without waiting for it.
	Power(action string) error
}
