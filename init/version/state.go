package version

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// stateFile says which version is current. It has at most maxState bytes.
const (
	stateFile = "state"
	maxState  = 4096
)

// state is what is known of a service's versions. A name that is empty is the
// image's own program.
type state struct {
	Current    string `json:"current"`
	Earlier    string `json:"earlier"` // to go back to, if HasEarlier
	HasEarlier bool   `json:"has_earlier"`
	Probation  bool   `json:"probation"`
}

// update makes name the current version. Only what has passed its probation is
// one to go back to.
func (s state) update(name string) state {
	switch {
	case s.Current == name:
		return s
	case s.Probation && s.HasEarlier && s.Earlier == name:
		return state{Current: name} // back from an update by hand
	case s.Probation:
		return state{Current: name, Earlier: s.Earlier, HasEarlier: s.HasEarlier, Probation: true}
	}
	return state{Current: name, Earlier: s.Current, HasEarlier: true, Probation: true}
}

func (s state) rollBack() (state, error) {
	if !s.HasEarlier {
		return s, ErrNoEarlier
	}
	return state{Current: s.Earlier}, nil
}

func (s state) commit() (state, error) {
	s.Probation = false
	return s, nil
}

// without takes out what can't be used; usable tells of a name.
func (s state) without(usable func(name string) bool) state {
	if s.HasEarlier && !usable(s.Earlier) {
		s.Earlier, s.HasEarlier = "", false
	}
	switch {
	case usable(s.Current):
		return s
	case s.HasEarlier:
		return state{Current: s.Earlier}
	}
	return state{}
}

// names says whether a program is part of the state.
func (s state) names(name string) bool { return name == s.Current || s.HasEarlier && name == s.Earlier }

func (s state) encode() []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and booleans
	}
	return append(data, '\n')
}

// decode reads a state strictly: what was not written by encode is an error.
func decode(data []byte) (state, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var s state
	if err := decoder.Decode(&s); err != nil {
		return state{}, fmt.Errorf("read %s: %w", stateFile, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return state{}, fmt.Errorf("read %s: more than one value", stateFile)
	}
	for _, name := range []string{s.Current, s.Earlier} {
		if name != "" && !programName(name) {
			return state{}, fmt.Errorf("read %s: %q is not the name of a program", stateFile, name)
		}
	}
	switch {
	case s.Earlier != "" && !s.HasEarlier, s.Probation && s.Current == "", s.HasEarlier && s.Earlier == s.Current:
		return state{}, fmt.Errorf("read %s: it contradicts itself", stateFile)
	}
	return s, nil
}
