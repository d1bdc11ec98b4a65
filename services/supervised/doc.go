// Package supervised is what a service tells gilgul about itself: that it is
// ready, that it works only in part, that a peer does wrong, that it still does
// its work; and the one question that gilgul asks every service, a ping. It owns
// the lines on the notify pipe, the heart-beat's key and the exit status of a
// corrupt state. It must never decide that a service is well: the service says
// so from where its work is done.
//
// # The notify pipe
//
// RUNA_NOTIFY_FD numbers the write end of a pipe that only gilgul reads, so it is
// certain who says something. Each message is one line of at most LineLimit bytes:
//
//	READY=1                 others may rely on it now
//	DEGRADED=reason         it works in part only
//	WELL=1                  it works as it should again
//	COMPLAIN=name evidence  the service called name does wrong
//
// Reasons and evidence are for the log: they must name no person's words.
//
// # Heart-beats
//
// With RUNA_HEARTBEAT, a duration, the service sets the bus key HeartbeatKey to a
// number that it has not had before, at least once in each period. Two periods
// without are a hang. The trap is a goroutine that says so whatever the others do;
// Beating asks alive before every beat, which must answer from the work itself.
//
// # Without gilgul
//
// A variable that is not set makes its calls do nothing, so that a service runs
// the same way in a terminal.
package supervised
