package lifecycle

import "time"

// Kind is what happened.
type Kind uint8

// The events. Every one may come in every state; what does not matter there
// changes nothing.
const (
	StartRequested   Kind = iota // by a person, or at boot
	StopRequested                // by a person, or at shutdown
	RestartRequested             // by a person, or because what it needs keeps failing (Reason)
	UpdateRequested              // a new version is installed, on probation: use it
	ProbationFound               // the version it will run is still on probation
	NeedsReady                   // all it needs is ready
	NeedLost                     // something it needs is not ready (Reason names it)
	Spawned                      // its process lives
	SpawnFailed                  // no process could be made (Reason)
	BecameReady                  // it said so
	BecameDegraded               // it said, or was seen, that it works only in part (Reason)
	Recovered                    // it works wholly again
	Defect                       // what runs is sick (Class, Reason): it is killed
	Complaint                    // a peer says that it is sick (Reason): look at it
	ProbePassed                  // it does what it is there for
	ProbeFailed                  // it does not (Reason)
	ProbeVoid                    // the probe says nothing: what it goes over is away
	Exited                       // its process and all that came of it are gone (OK, Class, Reason)
	Unkillable                   // its process ended, but the kernel can't end the rest (Reason)
	PolicyAnswered               // the policy program's advice (Advice, After)
	SetAsideDone                 // its state was moved away (OK), or was not (Reason)
	GiveBackDone                 // its state stands where it was (OK), or does not (Reason)
	RollBackDone                 // the version before is in place (OK), or is not (Reason)
	ReadyTimeout                 // the ready timer ran out
	StopTimeout                  // the stop timer ran out
	BackoffElapsed               // the back-off timer ran out
	StableElapsed                // the stable timer ran out
	ProbeDue                     // the probe timer ran out
	ProbationElapsed             // the probation timer ran out
	SnapshotDue                  // the snapshot timer ran out
	CycleElapsed                 // the cycle timer ran out
)

var kindNames = [...]string{
	"start requested", "stop requested", "restart requested", "update requested", "probation found",
	"needs ready", "need lost", "spawned", "spawn failed", "became ready", "became degraded", "recovered",
	"defect", "complaint", "probe passed", "probe failed", "probe void", "exited", "unkillable",
	"policy answered", "set-aside done", "give-back done", "roll-back done",
	"ready timeout", "stop timeout", "back-off elapsed", "stable elapsed", "probe due", "probation elapsed",
	"snapshot due", "cycle elapsed",
}

// Kinds lists every kind of event.
func Kinds() []Kind {
	kinds := make([]Kind, len(kindNames))
	for i := range kinds {
		kinds[i] = Kind(i)
	}
	return kinds
}

func (k Kind) String() string { return kindNames[k] }

// Event is one thing that happened to the service.
type Event struct {
	Kind   Kind
	OK     bool   // Exited: with status 0; an answer: it worked
	Class  Class  // Defect, Exited: what sort of failure
	Reason string // in plain words: "exited with status 1 after 12 ms"
	Advice Advice // PolicyAnswered
	After  time.Duration
}

// Class is the sort of a failure.
type Class string

// The classes of failures that are told apart.
const (
	ClassExit         Class = "exit"            // it ended
	ClassSignal       Class = "signal"          // a signal ended it
	ClassHang         Class = "hang"            // its heart-beats stopped
	ClassSpin         Class = "spin"            // it uses more processor time than its budget
	ClassOutOfMemory  Class = "out-of-memory"   // the kernel killed it for its memory
	ClassStalled      Class = "memory-pressure" // it does nothing but wait for memory
	ClassDescriptors  Class = "descriptors"     // nearly all its descriptors are in use
	ClassProcesses    Class = "processes"       // it wants more processes than it may have
	ClassSlowStart    Class = "slow-start"      // it is not ready in time
	ClassFalseReady   Class = "false-ready"     // it says it is ready and does not do its work
	ClassComplaint    Class = "complaint"       // its peers say that it is sick
	ClassBadUpdate    Class = "bad-update"      // its new version failed within the probation
	ClassCorruptState Class = "corrupt-state"   // it says that its state is corrupt
	ClassNotStarted   Class = "not-started"     // no process could be made
)

// Classes lists every class.
func Classes() []Class {
	return []Class{
		ClassExit, ClassSignal, ClassHang, ClassSpin, ClassOutOfMemory, ClassStalled, ClassDescriptors, ClassProcesses,
		ClassSlowStart, ClassFalseReady, ClassComplaint, ClassBadUpdate, ClassCorruptState, ClassNotStarted,
	}
}

// Advice is what a policy program says about a failure.
type Advice string

// The advices: what the ladder says, a start at once, a start after a pause, no more.
const (
	AdviceLadder  Advice = "ladder"
	AdviceRestart Advice = "restart"
	AdviceWait    Advice = "wait"
	AdviceGiveUp  Advice = "give-up"
)
