package inventory

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	in := Inventory{Version: "abc", Target: "vm", CommandLine: "quiet", Parts: []Part{
		{Name: "gilgul", Kind: "program", Version: "abc", License: "Apache-2.0", Bytes: 5, SHA256: "00"},
		{Name: "linux", Kind: "kernel", Version: "6.12", License: "GPL-2.0-only", Bytes: 7, SHA256: "11"},
	}}
	var out bytes.Buffer
	if err := in.Write(&out); err != nil {
		t.Fatal(err)
	}
	got, err := Parse(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, in) { // Write sorted in place: kernel before program
		t.Fatalf("got %+v, want %+v", got, in)
	}
	var table strings.Builder
	if err := got.Table(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"GPL-2.0-only", "gilgul", "6.12"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in:\n%s", want, table.String())
		}
	}
}

func TestAnInventoryWithSomethingElseInItIsRefused(t *testing.T) {
	for _, bad := range []string{"", "{", `{"vers": "x"}`, `{"version":"a"} {}`, "null x"} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
