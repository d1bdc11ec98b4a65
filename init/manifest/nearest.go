package manifest

import (
	"cmp"

	"runa/services/hint"
)

// didYouMean proposes the known word nearest to word, or all of those in the
// error when none is near.
func didYouMean(word string, known []string) string {
	return cmp.Or(hint.Nearest(word, known), "take it out, or use one of those known")
}
