package splinfer

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinfer/llama"
	"runa/services/splinfer/schema"
	"runa/services/splinfer/stream"
)

func (v Values) number(name string) float32 { return float32(v[name].(float64)) }
func (v Values) integer(name string) int    { return int(v[name].(int64)) }
func (v Values) text(name string) string    { return v[name].(string) }

func (v Values) list(name string) []string {
	list, _ := v[name].([]string) // nil where there is none
	return list
}

// check refuses what a request may not ask for and no model is needed to see.
func (v Values) check() error {
	if err := stream.Check(v.list("stop")); err != nil {
		return fail(rmp.CodeParameterInvalid, fmt.Errorf("parameter stop: %w", err))
	}
	if _, err := v.grammar(); err != nil {
		return err
	}
	_, err := v.bias()
	return err
}

// grammar is the request's own or that of its JSON schema, read and bounded
// before llama.cpp sees it.
func (v Values) grammar() (string, error) {
	grammar, object := v.text("grammar"), v.text("json-schema")
	switch {
	case grammar != "" && object != "":
		return "", fail(rmp.CodeParameterInvalid, errors.New("parameters grammar and json-schema can't be used together"))
	case object != "":
		made, err := schema.Grammar([]byte(object))
		if err != nil {
			return "", fail(rmp.CodeParameterInvalid, err)
		}
		return made, nil
	case grammar != "":
		if err := schema.CheckGrammar(grammar); err != nil {
			return "", fail(rmp.CodeParameterInvalid, err)
		}
	}
	return grammar, nil
}

// bias reads the parameter logit-bias, each an identifier with a sign and a number.
func (v Values) bias() (map[llama.Token]float32, error) {
	bias := map[llama.Token]float32{}
	for _, text := range v.list("logit-bias") {
		at := strings.IndexAny(text, "+-")
		if at < 1 {
			return nil, wrongBias()
		}
		id, err := strconv.ParseInt(text[:at], 10, 32)
		value, err2 := strconv.ParseFloat(text[at:], 32)
		if err != nil || err2 != nil || math.IsNaN(value) || math.IsInf(value, 1) {
			return nil, wrongBias()
		}
		bias[llama.Token(id)] += float32(value)
	}
	return bias, nil
}

func wrongBias() error {
	err := errors.New("parameter logit-bias must be a list of a token's number, a sign and a number")
	return fail(rmp.CodeParameterInvalid, hint.New(err, "such as 15043+1.5, or 15043-inf to forbid token 15043"))
}

// sampling turns values into what the llama package wants.
func (v Values) sampling(seed uint32) (llama.Sampling, error) {
	grammar, err := v.grammar()
	if err != nil {
		return llama.Sampling{}, err
	}
	bias, err := v.bias()
	if err != nil {
		return llama.Sampling{}, err
	}
	var samplers []string
	for _, text := range v.list("samplers") { // llama.cpp writes them with semicolons between
		samplers = append(samplers, strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == ' ' })...)
	}
	return llama.Sampling{
		Temp: v.number("temp"), DynatempRange: v.number("dynatemp-range"), DynatempExponent: v.number("dynatemp-exp"),
		TopK: v.integer("top-k"), TopP: v.number("top-p"), MinP: v.number("min-p"), TypicalP: v.number("typical-p"),
		TopNSigma: v.number("top-n-sigma"), XTCProbability: v.number("xtc-probability"), XTCThreshold: v.number("xtc-threshold"),
		RepeatLastN: v.integer("repeat-last-n"), RepeatPenalty: v.number("repeat-penalty"),
		FrequencyPenalty: v.number("frequency-penalty"), PresencePenalty: v.number("presence-penalty"),
		DryMultiplier: v.number("dry-multiplier"), DryBase: v.number("dry-base"), DryAllowedLength: v.integer("dry-allowed-length"),
		DryPenaltyLastN: v.integer("dry-penalty-last-n"), DrySequenceBreak: v.list("dry-sequence-breaker"),
		Mirostat: v.integer("mirostat"), MirostatEnt: v.number("mirostat-ent"), MirostatLR: v.number("mirostat-lr"),
		LogitBias: bias, IgnoreEOS: v["ignore-eos"].(bool), Seed: seed, NProbs: v.integer("n-probs"),
		MinKeep: v.integer("min-keep"), Samplers: samplers, Grammar: grammar,
	}, nil
}

// seed is the one asked for, or the given one.
func (v Values) seed(otherwise uint32) uint32 {
	if given := v["seed"].(int64); given >= 0 {
		return uint32(given)
	}
	return otherwise
}
