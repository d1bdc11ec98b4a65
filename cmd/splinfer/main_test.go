package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"splinfer": main})
}

func TestScripts(t *testing.T) {
	libraries := os.Getenv("RUNA_LLAMA_DIR")
	if libraries == "" {
		t.Fatal("RUNA_LLAMA_DIR is not set; run the tests with `make test`, which sets it")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("LIBRARIES", libraries)
			e.Setenv("MODEL", os.Getenv("RUNA_MODEL_STORIES15M"))
			return nil
		},
	})
}
