package build

import "testing"

func TestTheTimeOfABuildIsTheAgreedOneOrNone(t *testing.T) {
	if when, err := buildTime(""); err != nil || !when.IsZero() {
		t.Errorf("none was agreed: %v, %v", when, err)
	}
	if when, err := buildTime("1700000000"); err != nil || when.Unix() != 1_700_000_000 {
		t.Errorf("got %v, %v", when, err)
	}
	for _, bad := range []string{"abc", "-1", "1.5", " 1"} {
		if when, err := buildTime(bad); err == nil {
			t.Errorf("%q was accepted as %v", bad, when)
		}
	}
}
