package hint

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

func TestPrintShowsTheOutermostHintAndKeepsTheCause(t *testing.T) {
	cause := errors.New("no such file")
	err := fmt.Errorf("open model: %w", New(cause, "put it under %s", "/data/models"))
	if !errors.Is(err, cause) {
		t.Fatal("the cause was lost")
	}
	var out bytes.Buffer
	Print(&out, err)
	want := "error: open model: no such file\nhint: put it under /data/models\n"
	if out.String() != want {
		t.Fatalf("got %q, want %q", out.String(), want)
	}
	if New(nil, "x") != nil {
		t.Fatal("a hint made an error out of nil")
	}
}
