// Package control is how a person's commands talk to gilgul: HTTP with JSON
// over a unix socket. It owns the messages, the server with its rule of who may
// ask what, and the client. It must never act itself: everything is asked of a
// Backend.
//
//	GET  /v1/status                                   Status
//	GET  /v1/faults                                   faults by class, counted
//	GET  /v1/logs?service=NAME&lines=N&follow=true    one LogLine of JSON per line
//	GET  /v1/events?service=NAME&follow=true          one Event of JSON per line
//	GET  /v1/services/NAME/explain                    Explanation
//	POST /v1/services/NAME/{start,stop,restart}
//	POST /v1/services/NAME/update?program=/PATH
//	GET  /v1/net                                      NetStatus
//	GET  /v1/net/explain?interface=NAME&for=1m        NetExplanation with a token
//	POST /v1/net/allow                                NetRequest in, Consent out
//	POST /v1/net/off?interface=NAME                   all if there is no interface
//	POST /v1/power/{off,reboot}
//	POST /v1/faults/KIND                              root, on a machine booted for tests
//
// The kernel tells who asks (SO_PEERCRED). Reading is for root, the owner (uid
// 1000) and group runa (gid 100); changing is for root and the owner. A refusal
// is a JSON Failure with a proper status code.
//
// A network is consented to in two steps, so that nobody consents unread: the
// explanation carries a token, which is good once, for that interface, that
// time and that user.
//
// Connections are bounded: for each process, for each user and in all. When a
// bound is met, whoever holds most gives way, even while it is answered, so that
// a program that floods the socket keeps out nobody but itself.
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

	NotConfined []string          `json:"not_confined"` // what can't be confined on this machine, in plain words
	Consents    []Consent         `json:"consents"`     // networks that are allowed now
	Faults      map[string]uint64 `json:"faults"`       // seen since boot, by class of defect
	Pressure    Pressure          `json:"pressure"`
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

	Class     string        `json:"class,omitempty"`   // the last defect's lifecycle.Class; "" once it was forgotten
	Rung      string        `json:"rung,omitempty"`    // the step of the ladder taken for it, such as "set-aside"
	Failures  int           `json:"failures"`          // in a row, not yet forgotten
	Version   string        `json:"version,omitempty"` // "" is the program of the image
	Probation bool          `json:"probation"`         // a new version that may yet be rolled back
	OpenFiles int           `json:"open_files"`        // descriptors
	Processes int           `json:"processes"`
	CPU       time.Duration `json:"cpu_ns"` // used by this life
}

// Pressure says how much of the last 10 seconds something on this machine had
// to wait, in per cent (PSI "some avg10": kernel Documentation/accounting/psi.rst).
// It is all zero where the kernel doesn't tell.
type Pressure struct {
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
	IO     float64 `json:"io"`
}

// Consent is a network that the owner has allowed for a time.
type Consent struct {
	Interface string    `json:"interface"`
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until"`
	By        string    `json:"by"` // who consented, such as "uid 1000"
}

// NetStatus is the networks of the machine and what is allowed of them.
type NetStatus struct {
	Interfaces []InterfaceStatus `json:"interfaces"`
	Consents   []Consent         `json:"consents"`
}

// NetExplanation is what a person should read before a network is allowed.
type NetExplanation struct {
	Interface string        `json:"interface"`
	For       time.Duration `json:"for_ns"`
	Reachable []string      `json:"reachable"` // what becomes reachable: plain sentences
	Token     string        `json:"token"`     // the server's; NetRequest wants it back
}

// NetRequest asks for what a NetExplanation explained.
type NetRequest struct {
	Interface string        `json:"interface"`
	For       time.Duration `json:"for_ns"`
	Token     string        `json:"token"`
}

// Event is one change of a service's state. Lost counts the events that this
// reader missed just before it.
type Event struct {
	Time     time.Time `json:"time"`
	Service  string    `json:"service"`
	State    string    `json:"state"`
	Reason   string    `json:"reason,omitempty"`
	Class    string    `json:"class,omitempty"`
	Rung     string    `json:"rung,omitempty"`
	PID      int       `json:"pid,omitempty"`
	Restarts int       `json:"restarts"`
	Version  string    `json:"version,omitempty"`
	Lost     uint64    `json:"lost,omitempty"`
}

// Explanation tells a person about one service in three sentences.
type Explanation struct {
	Service string  `json:"service"`
	State   string  `json:"state"`
	What    string  `json:"what"`   // what happened
	Why     string  `json:"why"`    // why it is in that state
	Done    string  `json:"done"`   // what was done about it, or what a person can do
	Events  []Event `json:"events"` // its newest, oldest first
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

// MaxConsent is the longest time that a network can be allowed for.
const MaxConsent = 24 * time.Hour

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
	ErrConflict  = errors.New("not possible now")
	ErrBusy      = errors.New("too many requests at once")
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
	// Events hands the events that are kept, oldest first, to each and, if follow,
	// every new one until ctx ends or each fails.
	Events(ctx context.Context, follow bool, each func(Event) error) error
	// Explain says why a service is as it is; ErrNotFound for an unknown name.
	Explain(service string) (Explanation, error)
	// Update gives a service the program at an absolute path as its new version, on
	// probation; ErrNotFound for an unknown name.
	Update(service, program string) error
	// ExplainNet says what becomes reachable; ErrNotFound for an unknown interface.
	// The server adds the token.
	ExplainNet(iface string, d time.Duration) (NetExplanation, error)
	// AllowNet brings an interface up until d is over. The server has checked the
	// token; peer is who consented.
	AllowNet(iface string, d time.Duration, peer Peer) (Consent, error)
	// NetOff ends the consent to an interface, or to all if iface is "".
	NetOff(iface string) error
	// Faults counts the defects seen since boot by class.
	Faults() map[string]uint64
	// Sabotage does a fault of gilgul's own, on machines that were booted for tests;
	// ErrForbidden on all others.
	Sabotage(kind string) error
}
