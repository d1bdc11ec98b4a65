#!/bin/sh
# xl calls this with "add" for each disk, to tell the kernel's back end which device is
# meant. Of what Debian's script of the same name can do, it does block devices.
[ "$1" = add ] || exit 0
device=$(xenstore-read "$XENBUS_PATH/params") || exit 1
if [ ! -b "$device" ]; then
	xenstore-write "$XENBUS_PATH/hotplug-error" "$device is no block device"
	exit 1
fi
xenstore-write "$XENBUS_PATH/physical-device" "$(stat -L -c %t:%T "$device")" || exit 1
xenstore-write "$XENBUS_PATH/hotplug-status" connected
