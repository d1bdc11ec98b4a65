// Package fetch gets what Runa is built from: archives of the Debian and npm
// registries, by package name and version, through the ordinary clients
// apt-get and npm, so that a person's own mirrors, proxies and credentials apply.
//
// # What a caller may rely on
//
// Every archive is pinned in pins.yaml by its hash. Bytes that differ are refused
// and never reach the cache; neither does a download that was cut off. What is in the
// cache needs no registry again.
//
// The package names no host, installs nothing on the machine and never runs
// anything it fetched. apt's own lists are read, not changed: where they are too old
// for a pin, fresh ones are fetched into the cache.
package fetch
