package gilgul

import (
	"errors"
	"fmt"
	"time"

	"runa/init/control"
	"runa/init/netguard"
)

// ExplainNet says what becomes reachable.
func (m *machine) ExplainNet(iface string, d time.Duration) (control.NetExplanation, error) {
	e, err := m.guard.Explain(iface, d)
	if err != nil {
		return control.NetExplanation{}, asControl(err)
	}
	return control.NetExplanation{Interface: e.Interface.Name, For: e.For, Reachable: e.Reachable}, nil
}

// AllowNet brings an interface up until d is over.
func (m *machine) AllowNet(iface string, d time.Duration, peer control.Peer) (control.Consent, error) {
	c, err := m.guard.Allow(iface, d, peerText(peer))
	return consentOf(c), asControl(err)
}

// NetOff ends the consent to an interface, or to all if iface is "".
func (m *machine) NetOff(iface string) error {
	return asControl(m.guard.Revoke(iface, "a person at the console"))
}

func peerText(p control.Peer) string {
	switch p.UID {
	case 0:
		return "root"
	case control.OwnerUID:
		return "the owner"
	}
	return fmt.Sprintf("uid %d", p.UID)
}

func consentOf(c netguard.Consent) control.Consent {
	return control.Consent{Interface: c.Interface, Since: c.Since, Until: c.Until, By: c.By}
}

func (m *machine) consents() []control.Consent {
	var list []control.Consent
	for _, c := range m.guard.Consents() {
		list = append(list, consentOf(c))
	}
	return list
}

// asControl gives the guard's errors the meaning the protocol has for them.
func asControl(err error) error {
	for _, known := range []struct{ from, to error }{
		{netguard.ErrUnknown, control.ErrNotFound},
		{netguard.ErrLoopback, control.ErrInvalid},
		{netguard.ErrDuration, control.ErrInvalid},
		{netguard.ErrNoWatch, control.ErrConflict},
	} {
		if errors.Is(err, known.from) {
			return fmt.Errorf("%w: %w", known.to, err)
		}
	}
	return err
}
