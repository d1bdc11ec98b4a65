// Package disk assembles and reads Runa's disk image: one raw file with a GUID
// partition table that boots by BIOS and by UEFI.
//
//	1  runa-bios   GRUB's core.img, started from the boot code in sector 0
//	2  runa-boot   FAT32, the EFI system partition: /EFI/BOOT/BOOTX64.EFI (the
//	               UKI), and for GRUB /boot/bzImage and /boot/grub/grub.cfg;
//	               /boot/inventory.json says what the image is made of
//	3  runa-chromeos the same kernel, signed for Chromebooks in developer mode
//	4  runa-system erofs and its tree of hashes: the root file system, see
//	               package systemdisk
//	5  runa-data   ext4, what becomes /data on the appliance
//
// The system is a partition that the kernel checks block by block (dm-verity) and
// not an archive that the boot loader hands over (an initramfs). A changed byte is
// then an error before it is used, wherever it is; of an archive only its check sum
// would tell, and only that something is wrong. A boot reads what it runs, 20 MiB
// fewer than all; nothing is unpacked (3 s of an emulated machine's boot); and 60 MiB
// of memory stay free. The kernel carries the program that finds the partition
// (package preinit), under the check sum of its own compression, because the boot
// loader of Chromebooks loads nothing but a kernel. The root of the hashes is on the
// kernel's command line: who can change that can change the kernel too.
//
// The same inputs give the same bytes: GUIDs are derived from the label, every
// time stamp is Spec.Time, and the file systems are made by kept tools told to
// use nothing of their own (mkfs.fat --invariant, mtools, mkfs.erofs, mke2fs, debugfs). They
// write into the image at an offset, so there is no loop device, no mount and no
// need of root. FAT32 is made with dosfstools and mtools rather than go-diskfs
// because go-diskfs takes its time stamps from this process's environment and
// gives first-level folders a wrong ".." entry; go-diskfs writes the GPT.
//
// The package must never fetch or compile anything, read the clock, or touch a
// block device.
package disk
