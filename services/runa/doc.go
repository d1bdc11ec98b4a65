// Package runa is the person's command on the appliance: talking to the model,
// seeing how the parts are, and ending the machine.
//
// It owns the words a person reads and nothing else. What it knows it asks
// others: the model over the bus (as a client of splinfer's messages in
// services/rmp), the state of the services over gilgul's control socket. It
// keeps nothing on disk, and a person's words leave it only on the bus and on
// the terminal, never in a log or an error.
//
// How it speaks: an answer goes to standard output, everything else of `runa
// ask` to standard error; an error is one line "error: ..." and, where a person
// can do something, one line "hint: ...". Exit status 0 means it worked (for
// status: all is well), 1 that it did not, 2 that the command was mistyped,
// 130 that Ctrl-C ended it.
package runa
