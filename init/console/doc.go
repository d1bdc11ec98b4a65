// Package console is what a person meets: on every terminal the kernel's
// command line names it shows a banner with the state of the machine, waits for
// Enter and gives a login shell; when that ends it begins again.
//
// It must never wait for a service: a machine whose parts all fail still shows
// its banner and gives a shell. It must never claim a safety that isn't there:
// as long as there is no password the banner says so.
package console
