package xenhost

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestEachModuleLoadsBehindAllThatItNeeds(t *testing.T) {
	needs := map[string][]string{
		"virtio_pci": {"virtio-ring", "virtio"}, "virtio_ring": {"virtio"}, "virtio": nil, "virtio_blk": {"virtio_ring"},
	}
	got, err := order([]string{"virtio_blk", "virtio-pci", "virtio"}, func(name string) ([]string, error) { return needs[name], nil })
	if want := []string{"virtio", "virtio_ring", "virtio_blk", "virtio_pci"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestAModuleThatIsMissingOrNeedsItselfIsAnError(t *testing.T) {
	missing := errors.New("no such module")
	if _, err := order([]string{"a"}, func(string) ([]string, error) { return nil, missing }); !errors.Is(err, missing) {
		t.Errorf("missing: %v", err)
	}
	circle := func(name string) ([]string, error) { return map[string][]string{"a": {"b"}, "b": {"a"}}[name], nil }
	if _, err := order([]string{"a"}, circle); err == nil || !strings.Contains(err.Error(), "a needs itself") {
		t.Errorf("circle: %v", err)
	}
}

func TestWhatAModuleNeedsIsReadFromItsWords(t *testing.T) {
	for words, want := range map[string][]string{
		"license=GPL\x00depends=virtio_ring,virtio\x00name=x\x00": {"virtio_ring", "virtio"},
		"license=GPL\x00depends=\x00":                             nil,
		"softdepends=a\x00":                                       nil,
		"":                                                        nil,
	} {
		if got := depends([]byte(words)); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", words, got, want)
		}
	}
}

func TestEveryPackageOfTheHostIsPinned(t *testing.T) {
	if _, err := key(); err != nil {
		t.Error(err)
	}
}
