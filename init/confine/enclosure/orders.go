package enclosure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Bounds of what gilgul may order. A socket's message holds no more than
// MaxOrders; MaxFiles is the kernel's SCM_MAX_FD.
const (
	MaxOrders = 128 << 10
	MaxFiles  = 253
)

// Orders say what a process has to become. They come from gilgul in one
// message, together with the open files that Stdout and the others number.
type Orders struct {
	Exec string   `json:"exec"` // as the service sees it
	Args []string `json:"args"` // all of them, the program's name first
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`

	// UID and GID are who it becomes. They are only meant with Namespaces: without,
	// it stays who it is.
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
	// Namespaces says that the process was made in namespaces of its own and makes
	// itself a root of Mounts and Links. Without, Mounts only say what Landlock allows.
	Namespaces bool    `json:"namespaces"`
	Groups     bool    `json:"groups"` // it may, and does, leave its other groups
	Mounts     []Mount `json:"mounts"`
	Links      []Link  `json:"links"`

	Files     uint64 `json:"files"`     // descriptors; 0: no limit of its own
	Processes uint64 `json:"processes"` // processes and threads; 0: no limit of its own

	Landlock bool   `json:"landlock"`
	Seccomp  bool   `json:"seccomp"`
	Profile  string `json:"profile"` // of package seccomp
	Report   bool   `json:"report"`  // refused calls are told to gilgul

	// Numbers in the message's list of open files.
	Stdout int `json:"stdout"`
	Stderr int `json:"stderr"`
	Notify int `json:"notify"`
}

// Kind is how a mount is used.
type Kind string

// The kinds of mounts.
const (
	Program Kind = "program" // read and executed
	Read    Kind = "read"    // read and executed: the programs and libraries it may use
	Write   Kind = "write"   // read and written, never executed
	Device  Kind = "device"  // a device node
)

// Mount is a file or folder of the outside that the service sees.
type Mount struct {
	At     string `json:"at"`   // where it sees it
	From   string `json:"from"` // what is seen, by its path outside
	Tree   int    `json:"tree"` // number of the open file that is a detached mount of it; -1: From is opened
	Folder bool   `json:"folder"`
	Kind   Kind   `json:"kind"`
}

// Link is a symbolic link in the root.
type Link struct {
	At string `json:"at"`
	To string `json:"to"`
}

// Parse reads orders that came with so many open files. It refuses what it
// does not know, so that nothing that was ordered is left out.
func Parse(text []byte, files int) (Orders, error) {
	var o Orders
	if len(text) > MaxOrders {
		return Orders{}, fmt.Errorf("orders of %d bytes: %d at most", len(text), MaxOrders)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&o); err != nil {
		return Orders{}, fmt.Errorf("read the orders: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Orders{}, errors.New("read the orders: something follows them")
	}
	if err := o.check(files); err != nil {
		return Orders{}, fmt.Errorf("read the orders: %w", err)
	}
	return o, nil
}

func (o *Orders) check(files int) error {
	if len(o.Args) == 0 {
		return errors.New("args: the program's name is missing")
	}
	for _, list := range [][]string{o.Args, o.Env, {o.Exec, o.Dir, o.Profile}} {
		for _, text := range list {
			if strings.IndexByte(text, 0) >= 0 {
				return fmt.Errorf("%q: a zero byte", text)
			}
		}
	}
	for what, path := range map[string]string{"exec": o.Exec, "dir": o.Dir} {
		if err := absolute(path); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	for what, number := range map[string]int{"stdout": o.Stdout, "stderr": o.Stderr, "notify": o.Notify} {
		if number < 0 || number >= files {
			return fmt.Errorf("%s: there is no open file %d", what, number)
		}
	}
	for _, m := range o.Mounts {
		if err := m.check(files); err != nil {
			return err
		}
	}
	for _, l := range o.Links {
		if err := absolute(l.At); err != nil {
			return err
		}
		if l.To == "" || strings.IndexByte(l.To, 0) >= 0 {
			return fmt.Errorf("link %s to %q: no path", l.At, l.To)
		}
	}
	if o.Namespaces && (o.UID == 0 || o.GID == 0) {
		return errors.New("uid and gid: root is nobody's service")
	}
	return nil
}

func (m Mount) check(files int) error {
	for _, path := range []string{m.At, m.From} {
		if err := absolute(path); err != nil {
			return err
		}
	}
	if m.At == "/" {
		return errors.New("the root itself can't be given")
	}
	if m.Tree < -1 || m.Tree >= files {
		return fmt.Errorf("%s: there is no open file %d", m.At, m.Tree)
	}
	switch m.Kind {
	case Program, Read, Write, Device:
		return nil
	}
	return fmt.Errorf("%s: unknown kind %q", m.At, m.Kind)
}

// absolute says whether a path is one that means the same everywhere.
func absolute(p string) error {
	if !path.IsAbs(p) || path.Clean(p) != p || strings.IndexByte(p, 0) >= 0 {
		return fmt.Errorf("%q is not a clean absolute path", p)
	}
	return nil
}

// Answer is what the process says to gilgul. After the last one the socket is
// closed by execve, which is how gilgul knows that it succeeded.
type Answer struct {
	// Failed says what could not be done; the process ends. Errno is its cause if
	// the kernel gave one.
	Failed string `json:"failed,omitempty"`
	Errno  int    `json:"errno,omitempty"`
	// Running says that it is confined and that execve is next. The message
	// carries the descriptor on which refused calls are told, if they are.
	Running bool `json:"running,omitempty"`
}
