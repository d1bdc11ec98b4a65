// Package qemutests boots real images in QEMU and talks to them as a person
// would: it waits for words on the serial console, types lines, presses the
// power button. The driver is in the ordinary files, so that benchmarks can use
// it too; the promises are in the tests.
//
// The files to boot are named by variables (see Artefacts) that `make test`
// sets. Every wait has a hard limit, every machine is killed at the end of its
// test, and the serial log of one that failed is kept under out/qemu-logs.
//
// What has to be done inside of a machine is done by the programs below
// programs/: services that fail or attack (faulty, hostile, small) and commands
// that a test types (campaign, besiege, scribe). Program builds one, Initramfs lays it
// over the image's files; none of them is in an image.
//
// It must never build an image or reach into a guest by any way that a person
// at the machine would not have.
package qemutests
