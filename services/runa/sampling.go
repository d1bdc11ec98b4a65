package runa

// Sampling are the parameters of one answer, by llama.cpp's own names. What is
// not given is not sent, so the service's defaults hold.
type Sampling struct {
	NPredict         *int     `name:"n-predict" short:"n" help:"Most words (tokens) to answer with." placeholder:"128"`
	Seed             *int64   `help:"Same seed, same question, same answer." placeholder:"42"`
	Temp             *float64 `help:"Randomness: 0 always takes the likeliest word." placeholder:"0.8"`
	TopK             *int     `name:"top-k" help:"Choose among the K likeliest words; 0: all." placeholder:"40"`
	TopP             *float64 `name:"top-p" help:"Choose among the likeliest words whose chances sum up to P." placeholder:"0.95"`
	MinP             *float64 `name:"min-p" help:"Leave out words less likely than P times the likeliest." placeholder:"0.05"`
	TypicalP         *float64 `name:"typical-p" help:"Locally typical sampling; 1: off." placeholder:"1.0"`
	RepeatLastN      *int     `name:"repeat-last-n" help:"How many words back the penalties look." placeholder:"64"`
	RepeatPenalty    *float64 `name:"repeat-penalty" help:"Make words that were just said less likely; 1: off." placeholder:"1.0"`
	PresencePenalty  *float64 `name:"presence-penalty" help:"The same for words said at all; 0: off." placeholder:"0.0"`
	FrequencyPenalty *float64 `name:"frequency-penalty" help:"The same for each time a word was said; 0: off." placeholder:"0.0"`
	Mirostat         *int     `help:"Keep the answer's surprise constant: version 1 or 2; 0: off." placeholder:"0"`
	MirostatLR       *float64 `name:"mirostat-lr" help:"How fast mirostat learns." placeholder:"0.1"`
	MirostatEnt      *float64 `name:"mirostat-ent" help:"The surprise mirostat aims at." placeholder:"5.0"`
	IgnoreEOS        *bool    `name:"ignore-eos" help:"Go on where the model would end."`
	Grammar          *string  `help:"Only answers that this GBNF grammar allows." placeholder:"GBNF"`
}

// parameters returns what was given, as splinfer wants it.
func (s Sampling) parameters() map[string]any {
	given := map[string]any{}
	add(given, "n-predict", s.NPredict)
	add(given, "seed", s.Seed)
	add(given, "temp", s.Temp)
	add(given, "top-k", s.TopK)
	add(given, "top-p", s.TopP)
	add(given, "min-p", s.MinP)
	add(given, "typical-p", s.TypicalP)
	add(given, "repeat-last-n", s.RepeatLastN)
	add(given, "repeat-penalty", s.RepeatPenalty)
	add(given, "presence-penalty", s.PresencePenalty)
	add(given, "frequency-penalty", s.FrequencyPenalty)
	add(given, "mirostat", s.Mirostat)
	add(given, "mirostat-lr", s.MirostatLR)
	add(given, "mirostat-ent", s.MirostatEnt)
	add(given, "ignore-eos", s.IgnoreEOS)
	add(given, "grammar", s.Grammar)
	return given
}

func add[T any](given map[string]any, name string, value *T) {
	if value != nil {
		given[name] = *value
	}
}
