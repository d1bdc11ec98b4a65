// Package health judges from figures whether a service that runs is well, and
// whether the machine is. It owns what counts as a hang, a spin, memory
// pressure, and descriptors or processes used up. It must never read a file,
// ask a clock or act: package supervise takes the samples and hands on what is
// found, so every judgement can be tested with figures made up.
//
// # Time that counts
//
// A judgement such as "no heart-beat for two periods" counts only time in which
// gilgul itself ran: of the time between two looks no more than MaxStep counts.
// A machine that was suspended or stood still, or a gilgul that got no
// processor, so gives every service a free pass.
//
// # Who has a free pass
//
// Heart-beats and the processor budget count only while a service is ready:
// until then it may read a model for minutes, and its ready time-out is what
// bounds that. Heart-beats also do not count while there is no bus to say them
// on; a service that says nothing at all although there is one gets FirstBeat
// in addition to its two periods.
package health
