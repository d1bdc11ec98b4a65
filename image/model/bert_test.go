package model

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"runa/services/gguf"
	"runa/services/gguf/loadable"
)

// smallBERT has one layer and the least that a tokenizer needs.
var smallBERT = bertShape{
	Type: "bert", Activation: "gelu", Positions: "absolute",
	Width: 32, Hidden: 64, Layers: 1, Heads: 2, Context: 8, Vocabulary: 8, TokenTypes: 2, Epsilon: 1e-12,
}

// parts are the three files that are converted.
type parts struct{ weights, config, tokenizer []byte }

func smallParts(t testing.TB) parts {
	t.Helper()
	config, err := json.Marshal(smallBERT)
	if err != nil {
		t.Fatal(err)
	}
	tokenizer := `{"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},
		"pre_tokenizer":{"type":"BertPreTokenizer"},
		"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","vocab":{"##s":7,"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"[MASK]":4,"s":5,"dog":6}},
		"added_tokens":[{"id":0,"content":"[PAD]","special":true},{"id":1,"content":"[UNK]","special":true},{"id":2,"content":"[CLS]","special":true},
			{"id":3,"content":"[SEP]","special":true},{"id":4,"content":"[MASK]","special":true}]}`
	return parts{weightsOf(smallBERT), config, []byte(tokenizer)}
}

// weightsOf writes safetensors in which weight i of each tensor is i/1024, as a half, behind
// positions that nobody takes.
func weightsOf(s bertShape) []byte {
	var entries []string
	var data []byte
	begin := func(name, kind string, shape string, size int) {
		entries = append(entries, fmt.Sprintf(`%q:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, name, kind, shape, len(data), len(data)+size))
	}
	begin("embeddings.position_ids", "I64", fmt.Sprintf("[1,%d]", s.Context), 8*s.Context)
	data = append(data, make([]byte, 8*s.Context)...)
	for _, t := range s.tensors() {
		shape := fmt.Sprintf("[%d,%d]", t.rows, t.columns)
		if t.rows == 0 {
			shape = fmt.Sprintf("[%d]", t.columns)
		}
		begin(t.theirs, "F16", shape, 2*t.count())
		for i := range t.count() {
			data = binary.LittleEndian.AppendUint16(data, toHalf(i%1024))
		}
	}
	return safetensorsOf("{"+strings.Join(entries, ",")+"}", data)
}

func safetensorsOf(header string, data []byte) []byte {
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), data...)
}

// toHalf is n/1024 as a half, for n below 1024.
func toHalf(n int) uint16 {
	if n == 0 {
		return 0
	}
	exponent := 15
	for n<<(15-exponent) < 1024 {
		exponent--
	}
	return uint16(exponent<<10 | n<<(15-exponent)&1023)
}

func convert(p parts) ([]byte, error) {
	var out bytes.Buffer
	err := convertBERT(&out, Model{Title: "Small", License: "MIT"}, p.weights, p.config, p.tokenizer)
	return out.Bytes(), err
}

func TestABERTIsConvertedToWhatLlamaCppLoads(t *testing.T) {
	data, err := convert(smallParts(t))
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	info, err := loadable.CheckHeader(f)
	if err != nil {
		t.Fatal(err)
	}
	if !info.EmbedsOnly || info.Width != 32 || info.Vocabulary != 8 || info.Name != "Small" {
		t.Errorf("%+v", info)
	}
	value, _ := f.Get("tokenizer.ggml.tokens")
	if want := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "\u2581s", "\u2581dog", "s"}; !slices.Equal(value.([]string), want) {
		t.Errorf("pieces %q, want %q", value, want)
	}
	if id, _ := f.Uint("tokenizer.ggml.seperator_token_id"); id != 3 {
		t.Errorf("separator %d, want 3", id)
	}
	types := map[string]gguf.TensorType{
		"token_embd.weight": gguf.Q8_0, "position_embd.weight": gguf.F32, "token_types.weight": gguf.F32,
		"blk.0.ffn_up.weight": gguf.Q8_0, "blk.0.ffn_up.bias": gguf.F32, "blk.0.attn_output_norm.weight": gguf.F32,
	}
	for _, tensor := range f.Tensors {
		if want, named := types[tensor.Name]; named && tensor.Type != want {
			t.Errorf("%s is %v, want %v", tensor.Name, tensor.Type, want)
		}
		if tensor.Name == "position_embd.weight" {
			if got := math.Float32frombits(binary.LittleEndian.Uint32(data[tensor.Offset+4*33:])); got != 33./1024 {
				t.Errorf("weight 33 of the positions is %v, want %v", got, 33./1024)
			}
		}
	}
	again, err := convert(smallParts(t))
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("the second time it made other bytes (%v)", err)
	}
}

func TestADamagedBERTIsRefused(t *testing.T) {
	good := smallParts(t)
	replace := func(data []byte, from, to string) []byte {
		if !bytes.Contains(data, []byte(from)) {
			t.Fatalf("nothing to replace: %s", from)
		}
		return bytes.Replace(data, []byte(from), []byte(to), 1)
	}
	config := func(from, to string) parts {
		return parts{good.weights, replace(good.config, from, to), good.tokenizer}
	}
	tokenizer := func(from, to string) parts {
		return parts{good.weights, good.config, replace(good.tokenizer, from, to)}
	}
	weights := func(from, to string) parts { // of the same length
		return parts{replace(good.weights, from, to), good.config, good.tokenizer}
	}
	nan := bytes.Clone(good.weights)
	copy(nan[len(nan)-2:], []byte{0, 0x7e})
	for name, c := range map[string]struct {
		parts
		says string
	}{
		"another kind":         {config(`"bert"`, `"roberta"`), "roberta"},
		"another activation":   {config(`"gelu"`, `"silu"`), "silu"},
		"no layers":            {config(`"num_hidden_layers":1`, `"num_hidden_layers":0`), "is 0"},
		"endless layers":       {config(`"num_hidden_layers":1`, `"num_hidden_layers":1000000`), "1000000"},
		"heads don't divide":   {config(`"num_attention_heads":2`, `"num_attention_heads":3`), "3 heads"},
		"more layers":          {config(`"num_hidden_layers":1`, `"num_hidden_layers":2`), "encoder.layer.1"},
		"another vocabulary":   {config(`"vocab_size":8`, `"vocab_size":9`), "8 tokens for 9"},
		"config no JSON":       {parts{good.weights, nil, good.tokenizer}, "config.json"},
		"tokenizer no JSON":    {parts{good.weights, good.config, []byte("[")}, "tokenizer.json"},
		"another tokenizer":    {tokenizer(`"WordPiece"`, `"BPE"`), "BPE"},
		"text is not lowered":  {tokenizer(`"lowercase":true`, `"lowercase":false`), "normaliser"},
		"accents stay":         {tokenizer(`"strip_accents":null`, `"strip_accents":false`), "normaliser"},
		"an id twice":          {tokenizer(`"##s":7`, `"##s":6`), "id 6"},
		"an id too high":       {tokenizer(`"##s":7`, `"##s":8`), "id 8"},
		"an empty piece":       {tokenizer(`"##s":7`, `"##":7`), "empty"},
		"a piece twice":        {tokenizer(`"##s":7`, `"##\u2581s":7`), "the same"},
		"no separator":         {tokenizer(`"content":"[SEP]","special":true`, `"content":"[SEP]","special":false`), "[SEP]"},
		"added out of nowhere": {tokenizer(`"id":4,"content":"[MASK]"`, `"id":9,"content":"[MASK]"`), "[MASK]"},
		"weights cut off":      {parts{good.weights[:len(good.weights)-1], good.config, good.tokenizer}, "take"},
		"a name wrong":         {weights("layer.0.intermediate", "layer.9.intermediate"), "encoder.layer.0.intermediate"},
		"a tensor too many":    {weights("embeddings.position_ids", "embeddings.position_idx"), "no place"},
		"not a number":         {parts{nan, good.config, good.tokenizer}, "NaN"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := convert(c.parts)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one with %q", err, c.says)
			}
		})
	}
}

func TestHostileSafetensorsAreRefused(t *testing.T) {
	one := func(kind, shape, place string) string {
		return fmt.Sprintf(`{"a":{"dtype":%q,"shape":%s,"data_offsets":%s}}`, kind, shape, place)
	}
	eight := make([]byte, 8)
	if s, err := readSafetensors(safetensorsOf(`{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, eight)); err != nil || len(s.tensors) != 1 {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"nothing":             nil,
		"a header too long":   binary.LittleEndian.AppendUint64(nil, 1<<62),
		"a header cut off":    safetensorsOf("{}", nil)[:9],
		"no object":           safetensorsOf("[]", nil),
		"an open object":      safetensorsOf(one("F32", "[2]", "[0,8]")[:30], eight),
		"something behind it": safetensorsOf("{}{}", nil),
		"a name twice":        safetensorsOf(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, eight),
		"an unknown field":    safetensorsOf(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}`, eight),
		"an unknown type":     safetensorsOf(one("Q8", "[2]", "[0,8]"), eight),
		"a negative size":     safetensorsOf(one("F32", "[-2]", "[0,8]"), eight),
		"a huge size":         safetensorsOf(one("F32", "[4294967296,4294967296]", "[0,8]"), eight),
		"dimensions":          safetensorsOf(one("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), eight),
		"beyond the end":      safetensorsOf(one("F32", "[3]", "[0,12]"), eight),
		"a wrong size":        safetensorsOf(one("F32", "[1]", "[0,8]"), eight),
		"backwards":           safetensorsOf(one("F32", "[2]", "[8,0]"), eight),
		"a gap":               safetensorsOf(one("F32", "[1]", "[4,8]"), eight),
		"an overlap":          safetensorsOf(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, eight),
		"something left":      safetensorsOf(one("F32", "[1]", "[0,4]"), eight),
		"metadata of numbers": safetensorsOf(`{"__metadata__":{"a":1}}`, nil),
	} {
		if _, err := readSafetensors(data); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestHalvesAreWidenedWithoutLoss(t *testing.T) {
	for h := range 1 << 16 {
		sign, exponent, fraction := float64(1-2*(h>>15)), h>>10&31, float64(h&1023)
		want := sign * math.Ldexp(1024+fraction, exponent-25)
		switch {
		case exponent == 0:
			want = sign * math.Ldexp(fraction, -24)
		case exponent == 31 && fraction == 0:
			want = math.Inf(int(sign))
		case exponent == 31:
			want = math.NaN()
		}
		got := float64(fromHalf(uint16(h)))
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) || math.Signbit(got) != math.Signbit(want) && !math.IsNaN(want) && want != 0 {
			t.Fatalf("%#04x: %v, want %v", h, got, want)
		}
	}
}

// FuzzSafetensors: no header makes the reader panic, and what it accepts lies in the file.
func FuzzSafetensors(f *testing.F) {
	f.Add(weightsOf(smallBERT))
	f.Add(safetensorsOf(`{"a":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]}}`, make([]byte, 8)))
	f.Add(safetensorsOf(`{"__metadata__":{"format":"pt"}}`, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := readSafetensors(data)
		if err != nil {
			return
		}
		total := 0
		for name, stored := range s.tensors {
			shape := make([]int, len(stored.Shape))
			for i, n := range stored.Shape {
				shape[i] = int(n)
			}
			size, err := stored.size()
			if err != nil || size > uint64(len(data)) {
				t.Fatalf("%q: %d bytes, %v", name, size, err)
			}
			total += int(size)
			values, err := s.take(name, shape...)
			if err == nil && len(values) > len(data)/2 {
				t.Fatalf("%q: %d values of %d bytes", name, len(values), len(data))
			}
		}
		if total != len(s.data) {
			t.Fatalf("%d bytes of %d have a name", total, len(s.data))
		}
	})
}

func TestTheEmbeddingModelIsNotOfferedToChat(t *testing.T) {
	m, err := Find(Embedding)
	if err != nil || !m.Embeds {
		t.Errorf("%+v, %v", m, err)
	}
	if first := Catalogue()[0]; first.Embeds {
		t.Errorf("the default is %s, which embeds", first.Name)
	}
}
