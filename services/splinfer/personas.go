package splinfer

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"runa/services/hint"
	"runa/services/splinfer/persona"
)

// loadPersonas reads the folder of personas; "" has none. A file that is not one
// is told in the log and hides no other.
func loadPersonas(o Options) map[string]persona.Persona {
	all := map[string]persona.Persona{}
	if o.Personas == "" {
		return all
	}
	personas, faults := persona.Load(o.Personas)
	for _, p := range personas {
		err := p.Verify(func(name string, value any) error {
			values, err := o.Defaults.With(map[string]any{name: value})
			if err == nil {
				err = values.check()
			}
			return err
		})
		if err != nil {
			faults = append(faults, err)
			continue
		}
		all[p.Name] = p
	}
	for _, err := range faults {
		o.Log.Warn("a persona can't be used", "reason", err.Error())
	}
	return all
}

func (e *engine) hintPersonas() error {
	err := errors.New("use persona: there is none of that name")
	names := slices.Sorted(maps.Keys(e.personas))
	if len(names) == 0 {
		return err
	}
	return hint.New(err, "the personas here are: %s", strings.Join(names, ", "))
}
