package model

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"runa/image/fetch"
	"runa/services/gguf"
	"runa/services/hint"
)

func TestCatalogueIsCompleteAndPinned(t *testing.T) {
	for _, m := range Catalogue() {
		if m.Title == "" || m.License == "" || m.Source == "" || m.About == "" || m.Bytes <= 0 {
			t.Errorf("%s: something is missing: %+v", m.Name, m)
		}
		if sum, err := hex.DecodeString(m.SHA256); err != nil || len(sum) != 32 {
			t.Errorf("%s: sha256 is %q", m.Name, m.SHA256)
		}
		for _, name := range m.Packages {
			pin, err := fetch.Find(name)
			if err != nil || pin.License != m.License {
				t.Errorf("%s: package %s: licence %q, want %q; %v", m.Name, name, pin.License, m.License, err)
			}
		}
	}
	_, err := Find("gpt")
	if err == nil || !strings.Contains(hint.Of(err), "stories15m") || strings.Contains(hint.Of(err), Embedding) {
		t.Errorf("unknown model: %v, hint %q; want the names of those that chat", err, hint.Of(err))
	}
}

// checkpointOf writes a llama2.c checkpoint whose weight number i is i/1000.
func checkpointOf(header ...int32) []byte {
	var out []byte
	for _, n := range header {
		out = binary.LittleEndian.AppendUint32(out, uint32(n))
	}
	h := hyperparameters{int(header[0]), int(header[1]), int(header[2]), int(header[3]), int(header[4]), int(header[5]), int(header[6])}
	c := checkpoint{hyperparameters: h}
	for i := range c.floats() {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(i)/1000))
	}
	return out
}

func tokenizerOf(pieces ...string) []byte {
	out := []byte{9, 0, 0, 0}
	for i := range afterBytes + len(pieces) {
		text := "?"
		if i >= afterBytes {
			text = pieces[i-afterBytes]
		}
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(-i)))
		out = binary.LittleEndian.AppendUint32(out, uint32(len(text)))
		out = append(out, text...)
	}
	return out
}

func TestConversionKeepsOrderShapesAndText(t *testing.T) {
	var out bytes.Buffer
	m := Model{Title: "Small", License: "MIT"}
	if err := convertLlama2c(&out, m, checkpointOf(32, 64, 2, 2, 1, 261, 16), tokenizerOf(" the", "x y")); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Read(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if f.Architecture() != "llama" || f.Name() != "Small" || f.License() != "MIT" || f.ContextLength() != 16 {
		t.Errorf("architecture %q, name %q, licence %q, context %d", f.Architecture(), f.Name(), f.License(), f.ContextLength())
	}
	value, _ := f.Get("tokenizer.ggml.tokens")
	pieces := value.([]string)
	want := []string{"<unk>", "<s>", "</s>", "<0x00>"}
	if !slices.Equal(pieces[:4], want) || !slices.Equal(pieces[258:], []string{"<0xFF>", "\u2581the", "x\u2581y"}) {
		t.Errorf("pieces %q ... %q", pieces[:4], pieces[258:])
	}
	// The second layer's K: one of two heads, behind embedding, both norms and Q, and the first layer's K.
	at := slices.IndexFunc(f.Tensors, func(t gguf.Tensor) bool { return t.Name == "blk.1.attn_k.weight" })
	if at < 0 || !slices.Equal(f.Tensors[at].Shape, []uint64{32, 16}) || f.Tensors[at].Type != gguf.Q8_0 {
		t.Fatalf("blk.1.attn_k.weight: index %d of %v", at, f.Tensors)
	}
	at = slices.IndexFunc(f.Tensors, func(t gguf.Tensor) bool { return t.Name == "blk.0.ffn_norm.weight" })
	norm := f.Tensors[at]
	layer := 2 * (32*32*2 + 32*16*2) // both layers' four attention matrices
	first := float32(261*32+2*32+layer) / 1000
	if got := math.Float32frombits(binary.LittleEndian.Uint32(out.Bytes()[norm.Offset:])); got != first {
		t.Errorf("blk.0.ffn_norm.weight begins with %v, want %v", got, first)
	}
}

func TestBadCheckpointsAndTokenizersAreRefused(t *testing.T) {
	good, words := checkpointOf(32, 64, 1, 2, 2, 260, 16), tokenizerOf("a")
	with := func(field int, value int32) []byte {
		out := bytes.Clone(good)
		binary.LittleEndian.PutUint32(out[4*field:], uint32(value))
		return out
	}
	if err := convertLlama2c(io.Discard, Model{}, good, words); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][2][]byte{
		"no header":          {good[:20], words},
		"cut off":            {good[:len(good)-1], words},
		"own classifier":     {with(5, -260), words},
		"heads don't divide": {with(3, 5), words},
		"huge":               {with(0, math.MaxInt32), words},
		"small vocabulary":   {checkpointOf(32, 64, 1, 2, 2, 200, 16), words},
		"tokenizer cut off":  {good, words[:len(words)-1]},
		"tokenizer too long": {good, append(bytes.Clone(words), 0)},
		"tokenizer empty":    {good, nil},
	} {
		if err := convertLlama2c(io.Discard, Model{}, c[0], c[1]); err == nil {
			t.Errorf("%s: converted", name)
		}
	}
}

func TestPartsAreJoinedAndOtherBytesRefused(t *testing.T) {
	var sources []string
	for _, part := range []string{"GG", "UF"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "model.part"), []byte(part), 0o644); err != nil {
			t.Fatal(err)
		}
		sources = append(sources, dir)
	}
	m := Model{Name: "joined", SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte("GGUF"))), recipe: joinParts}
	path := filepath.Join(t.TempDir(), "m")
	if err := m.build(sources, path); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "GGUF" {
		t.Errorf("made %q, %v", got, err)
	}
	slices.Reverse(sources)
	err := m.build(sources, path)
	if !errors.Is(err, ErrHash) || !strings.Contains(err.Error(), m.SHA256) || !strings.Contains(err.Error(), fmt.Sprintf("%x", sha256.Sum256([]byte("UFGG")))) {
		t.Errorf("error %v, want ErrHash with both hashes", err)
	}
}
