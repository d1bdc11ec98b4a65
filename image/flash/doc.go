// Package flash writes an image to a whole disk, usually a USB stick, and checks
// afterwards, on a disk or an image, that what the machine boots from is what was
// built.
//
// # What a reader may rely on
//
// Write refuses a disk that is in use, that this machine runs from, that is too
// small, or that is not removable unless it is forced. It decides by what /proc and
// /sys say, and then opens the disk exclusively, so that the kernel refuses too
// what those files did not show, and keeps others from mounting it meanwhile.
//
// What an interrupted Write leaves is never taken for a stick that boots. The first
// thing to go is the old partition table, at both ends of the disk; then comes the
// image without its first and last mebibyte; only when that has been read back from
// the medium and found equal are those two written, the first sectors last of all.
//
// # The record
//
// No partition begins in an image's first mebibyte. From byte 65536 on Write keeps a
// record there: that writing has begun, and, when all is done, the hash of every 64 KiB of
// the boot code and of each partition but the data partition. Verify compares with it.
// Seal puts the same record into an image when it is built, so that images can be
// checked as sticks can. The inventory, which names the files of the boot partition
// with their hashes, is compared whether or not there is a record. Both find accidents;
// they prove nothing about somebody who can write to the disk.
//
// The data partition changes in use and is only checked to be there. On a larger disk
// the second copy of the partition table stays where the image ends: the appliance moves
// it when it first boots and grows the data partition, and until then the disk is the
// image byte for byte (but for the record).
//
// The package must never mount anything, run another program, or write to a disk
// that a person did not name and agree to.
package flash

import "errors"

var (
	// ErrRefused is what errors wrap when nothing was written.
	ErrRefused = errors.New("nothing was written")
	// ErrUnusable is what errors wrap when a disk holds part of an image.
	ErrUnusable = errors.New("unusable until an image is flashed to it again")
	// ErrDiffers is what errors wrap when something is not what was built.
	ErrDiffers = errors.New("not what was built")
)
