package loadable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"runa/services/gguf"
	"runa/services/gguf/tiny"
	"runa/services/hint"
)

type writer = func(io.Writer, uint64, ...tiny.Option) error

// parsed returns the header of a tiny model.
func parsed(t testing.TB, model writer, options ...tiny.Option) *gguf.File {
	t.Helper()
	data := written(t, model, options...)
	f, err := gguf.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func written(t testing.TB, model writer, options ...tiny.Option) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := model(&out, 1, options...); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// change edits a header.
type change func(t *testing.T, f *gguf.File)

func set(key string, value any) change {
	return func(_ *testing.T, f *gguf.File) {
		for i := range f.Metadata {
			if f.Metadata[i].Key == key {
				f.Metadata[i].Value = value
				return
			}
		}
		f.Metadata = append(f.Metadata, gguf.KeyValue{Key: key, Value: value})
	}
}

func drop(key string) change {
	return func(t *testing.T, f *gguf.File) {
		before := len(f.Metadata)
		f.Metadata = slices.DeleteFunc(f.Metadata, func(e gguf.KeyValue) bool { return e.Key == key })
		if len(f.Metadata) == before {
			t.Fatalf("there is no %s to drop", key)
		}
	}
}

func tensor(name string, edit func(*gguf.Tensor)) change {
	return func(t *testing.T, f *gguf.File) {
		for i := range f.Tensors {
			if f.Tensors[i].Name == name {
				edit(&f.Tensors[i])
				return
			}
		}
		t.Fatalf("there is no tensor %s", name)
	}
}

func rename(name, to string) change {
	return tensor(name, func(t *gguf.Tensor) { t.Name = to })
}

func shape(name string, dimensions ...uint64) change {
	return tensor(name, func(t *gguf.Tensor) { t.Shape = dimensions })
}

func kind(name string, to gguf.TensorType) change {
	return tensor(name, func(t *gguf.Tensor) { t.Type = to })
}

// tokens edits the vocabulary.
func tokens(edit func([]string)) change {
	return func(t *testing.T, f *gguf.File) {
		value, _ := f.Get(tokensKey)
		list := slices.Clone(value.([]string))
		edit(list)
		set(tokensKey, list)(t, f)
	}
}

func TestTinyModelsPassAndSayWhatTheyTake(t *testing.T) {
	const layers = 3
	for name, c := range map[string]struct {
		model                  writer
		width, token, state    uint64
		recurrent, embedsAlone bool
	}{
		"llama": {tiny.Llama, 64, layers * 2 * 64 * 2, 0, false, false},
		"bert":  {tiny.BERT, 64, 0, 0, false, true},
		"rwkv6": {tiny.RWKV6, 128, 0, layers * (2*128 + 128*64) * 4, true, false},
		"rwkv7": {tiny.RWKV7, 128, 0, layers * (2*128 + 128*64) * 4, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m.gguf")
			if err := os.WriteFile(path, written(t, c.model, tiny.Layers(layers), tiny.Context(99), tiny.Name("Some")), 0o600); err != nil {
				t.Fatal(err)
			}
			info, err := Check(path)
			if err != nil {
				t.Fatal(err)
			}
			f := parsed(t, c.model, tiny.Layers(layers), tiny.Context(99))
			value, _ := f.Get(tokensKey)
			want := Info{
				Architecture: name, Name: "Some", License: "CC0-1.0", ContextTrain: 99, Vocabulary: uint64(len(value.([]string))), Width: c.width,
				Layers: layers, Recurrent: c.recurrent, EmbedsOnly: c.embedsAlone, FileBytes: uint64(f.Size), WeightBytes: f.TensorBytes(),
				LeastBits: 8, TokenBytes: c.token, StateBytes: c.state,
			}
			if info != want {
				t.Errorf("%+v\nwant\n%+v", info, want)
			}
			if got, sum := info.Memory(100, 2), want.WeightBytes+100*c.token+2*c.state; got != sum {
				t.Errorf("100 tokens in 2 sequences take %d bytes, want %d", got, sum)
			}
			if got := info.Memory(math.MaxUint64, 1); c.token > 0 && got != math.MaxUint64 {
				t.Errorf("endless tokens take %d bytes", got)
			}
		})
	}
}

func TestArchitecturesWithoutRulesPassTheGeneralOnes(t *testing.T) {
	f := parsed(t, tiny.Llama)
	for i := range f.Metadata {
		f.Metadata[i].Key = strings.Replace(f.Metadata[i].Key, "llama.", "qwen9.", 1)
	}
	set("general.architecture", "qwen9")(t, f)
	set("qwen9.attention.head_count_kv", []uint32{4, 2})(t, f)
	info, err := CheckHeader(f)
	if err != nil || info.TokenBytes != (4+2)*(16+16)*2 || info.Recurrent || info.EmbedsOnly {
		t.Errorf("%+v, %v", info, err)
	}
	set("qwen9.pooling_type", uint32(3))(t, f)
	if info, err = CheckHeader(f); err != nil || !info.EmbedsOnly {
		t.Errorf("with a pooling: %+v, %v", info, err)
	}
	kind("token_embd.weight", 26)(t, f)
	if _, err = CheckHeader(f); !errors.Is(err, ErrUnloadable) {
		t.Errorf("with integers as embeddings: %v", err)
	}
}

func TestTheStateOfAMambaIsCounted(t *testing.T) {
	f := parsed(t, tiny.Llama)
	for i := range f.Metadata {
		f.Metadata[i].Key = strings.Replace(f.Metadata[i].Key, "llama.", "mamba.", 1)
	}
	for _, edit := range []change{
		set("general.architecture", "mamba"), drop("mamba.attention.head_count"), drop("mamba.attention.head_count_kv"),
		set("mamba.ssm.inner_size", uint32(128)), set("mamba.ssm.state_size", uint32(16)), set("mamba.ssm.conv_kernel", uint32(4)),
	} {
		edit(t, f)
	}
	info, err := CheckHeader(f)
	if want := uint64(2 * 4 * (128*16 + 3*128)); err != nil || !info.Recurrent || info.StateBytes != want {
		t.Errorf("%+v, %v, want a state of %d bytes", info, err, want)
	}
}

func TestAnAdapterIsNoModelAndAModelNoAdapter(t *testing.T) {
	dir := t.TempDir()
	adapter, model := filepath.Join(dir, "a.gguf"), filepath.Join(dir, "m.gguf")
	for path, data := range map[string][]byte{adapter: written(t, tiny.Adapter), model: written(t, tiny.Llama)} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := CheckAdapter(adapter)
	if err != nil || a.Architecture != "llama" || a.Bytes != 2*2*64*8*4 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := Check(adapter); !errors.Is(err, ErrAdapter) || !strings.Contains(err.Error(), adapter) || hint.Of(err) == "" {
		t.Errorf("an adapter as model: %v, hint %q", err, hint.Of(err))
	}
	if _, err := CheckAdapter(model); !errors.Is(err, ErrUnloadable) || hint.Of(err) == "" {
		t.Errorf("a model as adapter: %v", err)
	}
	if _, err := Check(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(model, written(t, tiny.Llama)[:5000], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(model); !errors.Is(err, gguf.ErrTruncated) {
		t.Errorf("cut off: %v", err)
	}
}

func TestAdaptersThatLlamaCppWouldFallOverAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		edit change
		says string
	}{
		"another kind":         {set("adapter.type", "ia3"), "ia3"},
		"a kind that is one":   {set("adapter.type", uint32(1)), "adapter.type"},
		"strength of no type":  {set("adapter.lora.alpha", uint32(8)), "alpha"},
		"a lonely matrix":      {rename("blk.0.attn_q.weight.lora_b", "blk.0.attn_k.weight.lora_b"), "counterpart"},
		"another tensor":       {rename("blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight"), "neither"},
		"a matrix of integers": {kind("blk.0.attn_q.weight.lora_b", 26), "I32"},
		"four dimensions":      {shape("blk.0.attn_q.weight.lora_b", 8, 8, 8, 1), "two dimensions"},
	} {
		f := parsed(t, tiny.Adapter)
		c.edit(t, f)
		h := newHeader(f)
		h.container()
		h.kind("adapter")
		h.adapter()
		if !errors.Is(h.err, ErrUnloadable) || !strings.Contains(h.err.Error(), c.says) {
			t.Errorf("%s: %v, want ErrUnloadable with %q", name, h.err, c.says)
		}
	}
}

func TestRWKVsTokensAreReadAsPythonEscapesThem(t *testing.T) {
	for text, want := range map[string]int{
		"a": 'a', `\\`: '\\', `\n`: '\n', `\t`: '\t', `\r`: '\r', `\'`: '\'', `\x00`: 0, `\xff`: 0xff,
		"": -1, `\`: -1, "ab": -1, `\x`: -1, `\x0`: -1, `\xg0`: -1, `\x00\x00`: -1, `a\n`: -1, `\nn`: -1,
	} {
		b, one := worldByte(text)
		if one != (want >= 0) || one && int(b) != want {
			t.Errorf("%q: %d, %v, want %d", text, b, one, want)
		}
	}
}

// FuzzCheck: no header makes the checker panic, its errors are those promised, and what
// it lets through is within its own bounds.
func FuzzCheck(f *testing.F) {
	for _, model := range []writer{tiny.Llama, tiny.BERT, tiny.RWKV6, tiny.RWKV7, tiny.Adapter} {
		data := written(f, model, tiny.Layers(1), tiny.Context(8))
		file, err := gguf.Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:file.DataOffset])
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		// The weights need not be there for the header to be judged.
		file, err := gguf.Read(endless{header}, 1<<40)
		if err != nil {
			return
		}
		info, err := CheckHeader(file)
		if err != nil {
			if !errors.Is(err, ErrUnloadable) && !errors.Is(err, ErrAdapter) {
				t.Errorf("error %v is none of the sentinels", err)
			}
			return
		}
		if info.Layers == 0 || info.Layers > mostLayers || info.Width == 0 || info.Vocabulary == 0 || info.ContextTrain == 0 {
			t.Errorf("let through: %+v", info)
		}
		if again, err := CheckHeader(file); err != nil || again != info {
			t.Errorf("the second time: %+v, %v", again, err)
		}
	})
}

// endless is a file of which only the start is there.
type endless struct{ start []byte }

func (e endless) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= int64(len(e.start)) {
		return 0, fmt.Errorf("byte %d: %w", offset, io.EOF)
	}
	n := copy(p, e.start[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
