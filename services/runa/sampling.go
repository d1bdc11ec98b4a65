package runa

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"runa/services/hint"
)

// Sampling are the parameters of one answer, by llama.cpp's own names. What is
// not given is not sent, so the service's defaults, or a persona's, hold.
type Sampling struct {
	NPredict   *int     `name:"n-predict" short:"n" help:"Most words (tokens) to answer with." placeholder:"128" group:"The answer:"`
	Stop       []string `sep:"none" help:"End the answer where it says TEXT; may be given several times." placeholder:"TEXT" group:"The answer:"`
	IgnoreEOS  *bool    `name:"ignore-eos" help:"Go on where the model would end." group:"The answer:"`
	Grammar    *string  `help:"Only answers that this GBNF grammar allows." placeholder:"GBNF" group:"The answer:"`
	JSONSchema *string  `name:"json-schema" help:"Only JSON of this schema: a file's name, or the schema itself." placeholder:"FILE|TEXT" group:"The answer:"`
	NProbs     *int     `name:"n-probs" help:"Show of each word how likely it was, and the N likeliest in its place." placeholder:"N" group:"The answer:"`
	LoRA       []string `name:"lora" sep:"none" help:"Use this adapter, at full strength or less; may be given several times." placeholder:"NAME[=SCALE]" group:"The answer:"`

	Seed          *int64   `help:"Same seed, same question, same answer." placeholder:"42" group:"How words are chosen:"`
	Temp          *float64 `help:"Randomness: 0 always takes the likeliest word." placeholder:"0.8" group:"How words are chosen:"`
	DynatempRange *float64 `name:"dynatemp-range" help:"Let the temperature vary by as much, with how sure the model is; 0: off." placeholder:"0.0" group:"How words are chosen:"`
	DynatempExp   *float64 `name:"dynatemp-exp" help:"How that follows the model's doubt." placeholder:"1.0" group:"How words are chosen:"`
	TopK          *int     `name:"top-k" help:"Choose among the K likeliest words; 0: all." placeholder:"40" group:"How words are chosen:"`
	TopP          *float64 `name:"top-p" help:"Choose among the likeliest words whose chances sum up to P." placeholder:"0.95" group:"How words are chosen:"`
	MinP          *float64 `name:"min-p" help:"Leave out words less likely than P times the likeliest." placeholder:"0.05" group:"How words are chosen:"`
	TypicalP      *float64 `name:"typical-p" help:"Locally typical sampling; 1: off." placeholder:"1.0" group:"How words are chosen:"`
	TopNSigma     *float64 `name:"top-n-sigma" help:"Leave out words N standard deviations below the best; -1: off." placeholder:"-1" group:"How words are chosen:"`
	XTCChance     *float64 `name:"xtc-probability" help:"How often to leave out the likeliest words but one; 0: off." placeholder:"0.0" group:"How words are chosen:"`
	XTCThreshold  *float64 `name:"xtc-threshold" help:"How likely a word is that may be left out so." placeholder:"0.1" group:"How words are chosen:"`
	MinKeep       *int     `name:"min-keep" help:"How many words all of these leave at least." placeholder:"0" group:"How words are chosen:"`
	LogitBias     []string `name:"logit-bias" sep:"none" help:"Make a token likelier or less likely: 15043+1, 15043-0.5, 15043-inf." placeholder:"TOKEN+BIAS" group:"How words are chosen:"`
	Samplers      *string  `help:"Which of these run, and in which order." placeholder:"penalties;dry;top_k;temperature" group:"How words are chosen:"`

	RepeatLastN      *int     `name:"repeat-last-n" help:"How many words back the penalties look." placeholder:"64" group:"Against repetition and monotony:"`
	RepeatPenalty    *float64 `name:"repeat-penalty" help:"Make words that were just said less likely; 1: off." placeholder:"1.0" group:"Against repetition and monotony:"`
	PresencePenalty  *float64 `name:"presence-penalty" help:"The same for words said at all; 0: off." placeholder:"0.0" group:"Against repetition and monotony:"`
	FrequencyPenalty *float64 `name:"frequency-penalty" help:"The same for each time a word was said; 0: off." placeholder:"0.0" group:"Against repetition and monotony:"`
	DryMultiplier    *float64 `name:"dry-multiplier" help:"DRY, against repeating whole phrases; 0: off." placeholder:"0.0" group:"Against repetition and monotony:"`
	DryBase          *float64 `name:"dry-base" help:"How fast DRY grows with a phrase's length." placeholder:"1.75" group:"Against repetition and monotony:"`
	DryAllowed       *int     `name:"dry-allowed-length" help:"Phrases of up to so many words may be repeated." placeholder:"2" group:"Against repetition and monotony:"`
	DryLastN         *int     `name:"dry-penalty-last-n" help:"How many words back DRY looks; -1: all." placeholder:"-1" group:"Against repetition and monotony:"`
	DryBreakers      []string `name:"dry-sequence-breaker" sep:"none" help:"Text that ends a phrase; may be given several times." placeholder:"TEXT" group:"Against repetition and monotony:"`
	Mirostat         *int     `help:"Keep the answer's surprise constant: version 1 or 2; 0: off." placeholder:"0" group:"Against repetition and monotony:"`
	MirostatLR       *float64 `name:"mirostat-lr" help:"How fast mirostat learns." placeholder:"0.1" group:"Against repetition and monotony:"`
	MirostatEnt      *float64 `name:"mirostat-ent" help:"The surprise mirostat aims at." placeholder:"5.0" group:"Against repetition and monotony:"`
}

// parameters returns what was given, as splinfer wants it: numbers, truths,
// texts and lists of texts.
func (s Sampling) parameters() (map[string]any, error) {
	given := map[string]any{}
	add(given, "n-predict", s.NPredict)
	add(given, "ignore-eos", s.IgnoreEOS)
	add(given, "grammar", s.Grammar)
	add(given, "n-probs", s.NProbs)
	add(given, "min-keep", s.MinKeep)
	addList(given, "stop", s.Stop)
	addList(given, "lora", s.LoRA)
	addList(given, "logit-bias", s.LogitBias)
	if s.Samplers != nil {
		addList(given, "samplers", strings.Split(*s.Samplers, ";"))
	}
	s.choosing(given)
	s.penalties(given)
	if s.JSONSchema != nil {
		schema, err := readSchema(*s.JSONSchema)
		if err != nil {
			return nil, err
		}
		given["json-schema"] = schema
	}
	return given, nil
}

func (s Sampling) choosing(given map[string]any) {
	add(given, "seed", s.Seed)
	add(given, "temp", s.Temp)
	add(given, "dynatemp-range", s.DynatempRange)
	add(given, "dynatemp-exp", s.DynatempExp)
	add(given, "top-k", s.TopK)
	add(given, "top-p", s.TopP)
	add(given, "min-p", s.MinP)
	add(given, "typical-p", s.TypicalP)
	add(given, "top-n-sigma", s.TopNSigma)
	add(given, "xtc-probability", s.XTCChance)
	add(given, "xtc-threshold", s.XTCThreshold)
}

func (s Sampling) penalties(given map[string]any) {
	add(given, "repeat-last-n", s.RepeatLastN)
	add(given, "repeat-penalty", s.RepeatPenalty)
	add(given, "presence-penalty", s.PresencePenalty)
	add(given, "frequency-penalty", s.FrequencyPenalty)
	add(given, "dry-multiplier", s.DryMultiplier)
	add(given, "dry-base", s.DryBase)
	add(given, "dry-allowed-length", s.DryAllowed)
	add(given, "dry-penalty-last-n", s.DryLastN)
	addList(given, "dry-sequence-breaker", s.DryBreakers)
	add(given, "mirostat", s.Mirostat)
	add(given, "mirostat-lr", s.MirostatLR)
	add(given, "mirostat-ent", s.MirostatEnt)
}

func add[T any](given map[string]any, name string, value *T) {
	if value != nil {
		given[name] = *value
	}
}

func addList(given map[string]any, name string, values []string) {
	if len(values) > 0 {
		given[name] = values
	}
}

// readSchema takes a JSON schema that stands on the command line (an object
// begins with a brace, which a file's name hardly does) or in a file.
func readSchema(given string) (string, error) {
	schema, where := given, "--json-schema"
	if !strings.HasPrefix(strings.TrimSpace(given), "{") {
		content, err := os.ReadFile(given)
		if err != nil {
			return "", hint.New(fmt.Errorf("read --json-schema: %w", err), `give a file's name, or the schema itself: '{"type": "object"}'`)
		}
		schema, where = string(content), given
	}
	var parsed json.RawMessage
	err := json.Unmarshal([]byte(schema), &parsed)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		line := 1 + strings.Count(schema[:min(int(syntax.Offset), len(schema))], "\n")
		err = fmt.Errorf("line %d: %w", line, err)
	}
	if err != nil {
		return "", hint.New(fmt.Errorf("read %s: this is not JSON: %w", where, err), `such as: {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}`)
	}
	return schema, nil
}
