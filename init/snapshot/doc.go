// Package snapshot keeps good copies of services' data folders and sets bad
// states aside. It owns two folders: the snapshots and, beside it, the states
// set aside. Both belong to root alone.
//
//	snapshots/SERVICE/00000007-20260102T030405Z/   a whole copy, the newest has the highest number
//	aside/SERVICE/00000002-20260102T030405Z/       a state that was set aside
//	.../.NAME                                      unfinished or about to be deleted
//
// # What a reader may rely on
//
// A name without a dot stands for something whole: it got that name by a rename
// after all of it was on the disk, and it loses the name before the first part
// of it is deleted. The service's own folder changes by one atomic exchange. So
// a power cut at any instant leaves the old state or the new one, never a part.
//
// A snapshot is one moment of the folder: it is looked at again after it was
// copied, and what changed meanwhile makes the copy be thrown away
// (ErrChanging). What a service writes through mapped memory can't be seen that
// way; freeze its cgroup for the time of Take where that matters.
//
// # What is kept
//
// Folders, files (sparse ones stay sparse), symbolic links as they are, owner,
// group, permissions and times. Not kept: fifos, sockets, devices, what belongs
// to another user than the folder, what is on another file system, set-uid
// bits, extended attributes; a file with two names becomes two files.
//
// # What it must never do
//
// The service owns its folder and may do anything in it while root copies.
// So no path is ever followed: each folder is opened from the one above it and
// no symbolic link is gone through, nothing is opened that could wait, and the
// number of entries, their depth and their bytes are bounded. It must never
// delete a state that is the only one.
package snapshot
