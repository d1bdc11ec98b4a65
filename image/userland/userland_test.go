package userland

import (
	"path"
	"slices"
	"testing"
)

func TestNoCommandTalksToANetwork(t *testing.T) {
	packages, err := Appliance.Packages()
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 40 {
		t.Fatalf("only %d commands", len(packages))
	}
	for _, p := range packages {
		name := path.Base(p)
		if slices.Contains([]string{"dhclient", "wget", "ping", "netcat", "sshd", "scp", "ntpdate", "brctl"}, name) {
			t.Errorf("%s talks to a network", name)
		}
	}
	if !slices.ContainsFunc(packages, func(p string) bool { return path.Base(p) == "gosh" }) {
		t.Error("there is no shell")
	}
}
