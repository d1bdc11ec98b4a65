package assembly

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/go-hclog"

	"runa/init/guardedbus"
	"runa/init/manifest"
	"runa/services/splinter"
)

// users are those of the image's passwd that own services.
func users(name string) (uint32, error) {
	uid, ok := map[string]uint32{"splinter": 101, "splinfer": 102}[name]
	if !ok {
		return 0, errors.New("there is no user " + name)
	}
	return uid, nil
}

// given are rights beside those of manifests.
var given = map[uint32]splinter.Rights{1000: {Read: []string{"key:*"}, Write: []string{"name:*"}}}

func TestTheRightsOfTheImageAreGrantedWhenTheBusIsReady(t *testing.T) {
	declared, errs := manifest.Load("../../overlays/base/etc/runa/services")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	grants, err := grantsOf(declared, users, given)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bus")
	theirs, err := splinter.Create(path, splinter.Options{Enforce: true})
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	b := guardedbus.New(path, BusService, hclog.NewNullLogger(), grants)
	b.Prepare("splinter")
	defer b.Close()
	for _, c := range []struct {
		uid         uint32
		read, write []string
	}{
		{1000, []string{"key:*"}, []string{"name:*"}},
		{102, []string{"name:splinfer"}, []string{"key:service/splinfer/*"}},
		{101, []string{"key:*"}, []string{"topic:rlp/sys/*"}},
	} {
		got, ok := theirs.RightsOf(c.uid)
		if !ok {
			t.Errorf("uid %d has no rights", c.uid)
		}
		for _, want := range c.read {
			if !slices.Contains(got.Read, want) {
				t.Errorf("uid %d may not read %s: %+v", c.uid, want, got)
			}
		}
		for _, want := range c.write {
			if !slices.Contains(got.Write, want) {
				t.Errorf("uid %d may not write %s: %+v", c.uid, want, got)
			}
		}
	}
	if splinfer, _ := theirs.RightsOf(102); slices.Contains(splinfer.Write, "key:*") || slices.Contains(splinfer.Write, "name:*") {
		t.Errorf("splinfer may more than it needs: %+v", splinfer)
	}
}

func TestServicesOfOneUserHaveTheSumOfTheirRightsAndAnUnknownUserHarmsNobody(t *testing.T) {
	one, two, lost := manifest.Defaults("one"), manifest.Defaults("two"), manifest.Defaults("lost")
	one.User, two.User = "splinfer", "splinfer"
	one.Bus.Read, two.Bus.Read = []string{"key:a"}, []string{"key:b"}
	grants, err := grantsOf([]manifest.Service{one, lost, two}, users, given)
	if err == nil {
		t.Error("an unknown user is no error")
	}
	if got := grants[102].Read; !slices.Equal(got, []string{"key:a", "key:b"}) {
		t.Errorf("it may read %v", got)
	}
	if len(given[1000].Read) != 1 || len(grants) != 2 {
		t.Errorf("grants %v", grants)
	}
}
