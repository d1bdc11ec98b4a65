// Package servicename says what a service may be called: the name becomes a file's
// and a folder's, a cgroup's, a user's, and part of a key on the bus.
package servicename

// longest is the most characters that a name has.
const longest = 32

// Valid is true of a lower-case letter that lower-case letters, digits and dashes follow.
func Valid(name string) bool {
	if len(name) > longest {
		return false
	}
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c != '-' && (c < '0' || '9' < c)) {
			return false
		}
	}
	return name != ""
}
