#!/bin/busybox sh
# All that happens in the Xen host of the tests before there is a shell. It has no
# services: one xenstored, one xenconsoled and whatever is typed.
export PATH=/bin:/usr/lib/xen-4.17/bin HOME=/
/bin/busybox --install -s /bin

die() {
	echo "XEN HOST: $*"
	sync
	poweroff -f
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir /dev/pts
mount -t devpts devpts /dev/pts # the consoles of guests
while read -r module; do
	insmod "/lib/modules/$module" || die "no module $module"
done </lib/modules/order
mount -t xenfs xenfs /proc/xen || die "no /proc/xen"

xenstored || die "no xenstored"
tries=100
until xenstore-read -s / >/dev/null 2>&1; do
	tries=$((tries - 1))
	[ $tries -gt 0 ] || die "xenstored does not answer"
	sleep 0.1
done
xen-init-dom0 || die "no xen-init-dom0"
xenconsoled || die "no xenconsoled"

echo "XEN HOST: press Enter"
setsid cttyhack sh
sync
poweroff -f
