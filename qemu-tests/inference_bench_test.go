package qemutests

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"runa/services/splinfer/hook"
)

// benchModel is one that the benchmarks of inference use.
type benchModel struct {
	name, path       string
	prompt, generate int // tokens that are measured
	rounds           int
}

// benchModels are a small one that is measured often and one of the size that people use.
func benchModels(b *testing.B) []benchModel {
	return []benchModel{
		{"stories15m", artefact(b, "RUNA_MODEL_STORIES15M"), 512, 128, rounds},
		{"tinyllama", artefact(b, "RUNA_MODEL_TINYLLAMA"), 512, 32, rounds},
	}
}

// figures are what was measured, by name, a value for each round.
type figures map[string][]float64

func (f figures) add(name string, value float64) { f[name] = append(f[name], value) }

// ratio adds how many times the other's latest value one's is.
func (f figures) ratio(name, one, other string) {
	f.add(name, f[one][len(f[one])-1]/f[other][len(f[other])-1])
}

// report tells the benchmark's results the medians of these.
func (f figures) report(b *testing.B, names ...string) {
	b.Helper()
	b.ReportMetric(0, "ns/op") // a run is no operation
	for _, name := range names {
		b.ReportMetric(median(f[name]), strings.ReplaceAll(name, " ", "-"))
	}
}

// BenchmarkInference reports how fast splinfer reads a prompt and writes tokens
// one by one, as a share of what llama-bench reaches with the very same
// libraries, model and threads: llama-bench as it is by default, and without flash
// attention, which splinfer does without where an answer then does not depend on what
// else is computed: with stories15M's weights of 8 bits, not with TinyLlama's of 2.
func BenchmarkInference(b *testing.B) {
	for _, model := range benchModels(b) {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/%d-threads", model.name, threads), func(b *testing.B) { benchAlone(b, model, threads) })
		}
	}
}

func benchAlone(b *testing.B, model benchModel, threads int) {
	a, t := FindArtefacts(b), strconv.Itoa(threads)
	prompt, generate := strconv.Itoa(model.prompt), strconv.Itoa(model.generate)
	ours := []string{
		filepath.Join(a.Bin, "splinfer"), "measure", "--json", "--runs", "1", "--libraries", a.LlamaDir,
		"--models", filepath.Dir(model.path), "--model", strings.TrimSuffix(filepath.Base(model.path), ".gguf"),
		"--threads", t, "--threads-batch", t, "--prompt", prompt, "--generate", generate,
	}
	theirs := []string{artefact(b, "RUNA_LLAMA_BENCH"), "-o", "json", "-r", "1", "-m", model.path, "-t", t, "-p", prompt, "-n", generate}
	f := figures{}
	for range model.rounds {
		f.measure(b, "splinfer", ours...)
		f.measure(b, "llama-bench", theirs...)
		f.measure(b, "llama-bench -fa off", append(theirs, "-fa", "off")...)
		for _, test := range []string{"prefill", "decode"} {
			f.ratio(test+"/llama-bench", test+" splinfer", test+" llama-bench")
			f.ratio(test+"/llama-bench-fa-off", test+" splinfer", test+" llama-bench -fa off")
		}
	}
	for _, test := range []string{"prefill", "decode"} {
		line := test + ", tokens/s:"
		for _, side := range []string{"splinfer", "llama-bench", "llama-bench -fa off"} {
			line += fmt.Sprintf(" %s %.1f,", side, median(f[test+" "+side]))
		}
		b.Log(strings.TrimSuffix(line, ","))
		f.report(b, test+"/llama-bench", test+"/llama-bench-fa-off")
	}
}

// measure adds what a program that measures itself prints: splinfer measure or llama-bench.
func (f figures) measure(b *testing.B, side string, command ...string) {
	b.Helper()
	output, err := exec.Command(command[0], command[1:]...).Output()
	if err != nil {
		b.Fatalf("%s: %v", strings.Join(command, " "), err)
	}
	var results []struct {
		PerSecond float64 `json:"tokens_per_second"` // splinfer
		Average   float64 `json:"avg_ts"`            // llama-bench
	}
	if err := json.Unmarshal(output, &results); err != nil || len(results) != 2 {
		b.Fatalf("%s: want the results of two tests, got %d (%v):\n%s", strings.Join(command, " "), len(results), err, output)
	}
	f.add("prefill "+side, results[0].PerSecond+results[0].Average) // one of them is 0
	f.add("decode "+side, results[1].PerSecond+results[1].Average)
}

// emptyHook is a variable, so that the compiler does not know what it calls.
var emptyHook = hook.Empty()

// BenchmarkEmptyHook reports what a hook that allows everything costs a token.
func BenchmarkEmptyHook(b *testing.B) {
	const tokens = 1_000_000
	session, _, err := emptyHook.Begin(hook.Answer{})
	if err != nil {
		b.Fatal(err)
	}
	f := figures{}
	for range rounds {
		began := nanoseconds()
		for i := range tokens {
			if v, decided := session.Judge(hook.Token{Index: i, ID: 7, Text: " the", LogProb: -1}); !decided || v.Action != hook.Allow {
				b.Fatal("it did not allow a token")
			}
		}
		f.add("ns/token", float64(nanoseconds()-began)/tokens)
	}
	f.report(b, "ns/token")
}
