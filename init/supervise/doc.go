// Package supervise keeps the services running that their manifests declare.
// One goroutine, Supervisor.Run, owns all state: it feeds events to the pure
// machine of package lifecycle and carries out the actions that come back. The
// package also owns the reaping of child processes, the words that tell why a
// process ended, and the three sentences that explain a service to a person. It
// must never decide by itself what a service's end means (lifecycle does), nor
// what a process may do (confine does), nor whether it is well (health does).
//
// # What one may rely on
//
// A service starts when everything it needs is ready, independent ones in
// parallel. A service keeps running when one it needs is lost, because that one
// will be back; its reason says so. Shutdown goes the other way round: a service
// is asked to end when nothing that needs or wants it runs any more. A new
// process is made only after the old one and everything that came of it is gone,
// and in the same step: no timer and no log stands between a death and the next
// life, unless the ladder wants a pause.
//
// # Complaints
//
// A service may complain about another one (see complaints.go). That has the
// other looked at at once; several complaints, or a failed probe, end its life.
// Peers alone can never drive a service to being given up.
package supervise
