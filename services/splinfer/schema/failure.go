package schema

import (
	"fmt"

	"runa/services/hint"
)

// fail is an error about a place in the schema.
func fail(at *node, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrSchema, at.path(), fmt.Sprintf(format, args...))
}

func advise(err error, format string, args ...any) error {
	return hint.New(err, format, args...)
}
