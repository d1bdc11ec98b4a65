package build

import (
	"strings"
	"testing"

	"runa/image/inventory"
	"runa/image/model"
	"runa/services/hint"
)

func TestNoModelMeansNoneAtAll(t *testing.T) {
	files, err := Builder{Model: NoModel}.models(t.Context(), &inventory.Inventory{})
	if err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
}

func TestAModelThatOnlyEmbedsCannotBeTheOneThatChats(t *testing.T) {
	_, err := Builder{Model: model.Embedding}.models(t.Context(), &inventory.Inventory{})
	if err == nil || !strings.Contains(err.Error(), "embeds") || hint.Of(err) == "" {
		t.Errorf("%v, hint %q", err, hint.Of(err))
	}
	_, err = Builder{Model: "gpt"}.models(t.Context(), &inventory.Inventory{})
	if err == nil || !strings.Contains(hint.Of(err), "stories15m") {
		t.Errorf("an unknown one: %v, hint %q", err, hint.Of(err))
	}
}
