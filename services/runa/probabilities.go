package runa

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"runa/services/rmp"
)

// probabilities shows, where --n-probs asked for it, how likely each token was
// and which were the likeliest at its place.
func (a *answer) probabilities() {
	if len(a.drawn) == 0 {
		return
	}
	table := tabwriter.NewWriter(a.aside, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TOKEN\tCHANCE\tTHE LIKELIEST")
	for _, token := range a.drawn {
		var likeliest []string
		for _, one := range token.Top {
			likeliest = append(likeliest, quoted(one.Text)+" "+chance(one.LogProb))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", quoted(token.Text), chance(token.LogProb), strings.Join(likeliest, ", "))
	}
	_ = table.Flush() // to where the answer went: who does not see this did not see that
	a.drawn = []rmp.Token(nil)
}

func quoted(text string) string { return strconv.Quote(text) }

// chance writes a natural logarithm of a probability in per cent.
func chance(logProb float32) string {
	percent := 100 * math.Exp(float64(logProb))
	if percent < 10 {
		return fmt.Sprintf("%.1f %%", percent)
	}
	return fmt.Sprintf("%.0f %%", percent)
}
