package guardedbus

import "runa/services/splinter"

// grant gives everybody their rights on a bus that was just opened.
func (b *Bus) grant(fresh *splinter.Bus) {
	for uid, rights := range b.grants {
		if err := fresh.Grant(uid, rights); err != nil {
			b.log.Warn("rights are not granted", "uid", uid, "reason", err)
		}
	}
}
