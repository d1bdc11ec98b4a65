// Package disk assembles and reads Runa's disk image: one raw file with a GUID
// partition table that boots by BIOS and by UEFI.
//
//	1  runa-bios   GRUB's core.img, started from the boot code in sector 0
//	2  runa-boot   FAT32, the EFI system partition: /EFI/BOOT/BOOTX64.EFI (the
//	               UKI), and for GRUB /boot/bzImage, /boot/initramfs.cpio.zst
//	               and /boot/grub/grub.cfg; /boot/inventory.json says what the
//	               image is made of
//	3  runa-data   ext4, what becomes /data on the appliance
//
// The same inputs give the same bytes: GUIDs are derived from the label, every
// time stamp is Spec.Time, and the file systems are made by kept tools told to
// use nothing of their own (mkfs.fat --invariant, mtools, mke2fs, debugfs). They
// write into the image at an offset, so there is no loop device, no mount and no
// need of root. FAT32 is made with dosfstools and mtools rather than go-diskfs
// because go-diskfs takes its time stamps from this process's environment and
// gives first-level folders a wrong ".." entry; go-diskfs writes the GPT.
//
// The package must never fetch or compile anything, read the clock, or touch a
// block device.
package disk
