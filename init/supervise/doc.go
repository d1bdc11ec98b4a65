// Package supervise keeps the services running that their manifests declare.
// One goroutine, Supervisor.Run, owns all state: it feeds events to the pure
// machine of package lifecycle and carries out the actions that come back. The
// package also owns the reaping of child processes and the words that tell why
// a process ended. It must never decide by itself what a service's end means
// (lifecycle does) nor what a process may do (confine does), and it never polls:
// every step follows a report, a timer or a request.
//
// # What one may rely on
//
// A service starts when everything it needs is ready, independent ones in
// parallel. A service keeps running when one it needs is lost, because that one
// will be back; its reason says so. Shutdown goes the other way round: a service
// is asked to end when nothing that needs or wants it runs any more. A new
// process is made only after the old one and everything that came of it is gone.
package supervise
