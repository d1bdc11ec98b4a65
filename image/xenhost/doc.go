// Package xenhost makes a small Xen host out of pinned Debian packages, for the tests
// that show how Xen runs the image: the hypervisor, Debian's own kernel for the first
// domain (ours has no back ends, on purpose) and an initramfs with xl, xenstored,
// xenconsoled and pygrub. It starts to a root shell on its console in a few seconds.
//
// It is made once and kept in the cache. Nothing of it is installed on the build machine
// or enters an image.
package xenhost
