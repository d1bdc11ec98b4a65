package splinfer

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runa/services/gguf/tiny"
	"runa/services/hint"
)

func put(t *testing.T, f folder, name string, model func(io.Writer, uint64, ...tiny.Option) error) {
	t.Helper()
	var out bytes.Buffer
	if err := model(&out, 1); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.path, name+extension), out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAModelThatOnlyEmbedsIsNeverTheDefault(t *testing.T) {
	f := folder{path: t.TempDir()}
	put(t, f, "all-minilm", tiny.BERT)
	if name, err := f.defaultName(""); err == nil || !strings.Contains(err.Error(), "generates text") || hint.Of(err) == "" {
		t.Errorf("alone: %q, %v; want an error that says why, and a hint", name, err)
	}
	put(t, f, "zebra", tiny.RWKV7)
	if name, err := f.defaultName(""); err != nil || name != "zebra" {
		t.Errorf("beside one that generates: %q, %v", name, err)
	}
	if err := os.WriteFile(filepath.Join(f.path, "broken"+extension), []byte("GGUF"), 0o600); err != nil {
		t.Fatal(err)
	}
	if name, err := f.defaultName(""); err != nil || name != "zebra" {
		t.Errorf("beside a broken one too: %q, %v", name, err)
	}
	if err := os.Remove(filepath.Join(f.path, "zebra"+extension)); err != nil {
		t.Fatal(err)
	}
	if name, err := f.defaultName(""); err != nil || name != "broken" {
		t.Errorf("beside a broken one alone: %q, %v; want the broken one, which says what is wrong with it", name, err)
	}
}
