#!/bin/sh
# Makes a Debian 12 machine able to build Runa. It is the one part that runs
# before there is a Go compiler, so it is plain POSIX sh, and it does two things:
#
#   bootstrap.sh packages build|run|image|test|bench
#       installs the Debian packages that a target needs and that are missing,
#       after it has said which and why. Without root or sudo it prints the line
#       to run and stops.
#   bootstrap.sh go
#       prints the path of a Go compiler that is new enough: the one on PATH, or one
#       that it gets as a module through the ordinary Go module proxy, with whatever
#       Go there is, compares with a pinned hash, and keeps in the cache.
#
# Only the path goes to standard output; all else goes to standard error. Nothing is
# installed but Debian packages, and nothing is written but the cache.
set -eu

GO_WANTED=1.26            # go.mod's own minimum
GO_RELEASE=1.26.8         # what is fetched where PATH has less
# Go's own module hash (h1) of that release for linux-amd64, in hex: sha256 over the
# lines "sha256  name" of all its files in byte order.
GO_HASH=64e9867b53a77d110330875bd508b81bd252b833c12c613164c4389e2b354573

CACHE=${XDG_CACHE_HOME:-${HOME:?neither XDG_CACHE_HOME nor HOME is set}/.cache}/runa

say() { printf '%s\n' "$*" >&2; }

die() { # reason, hint
	say "error: $1"
	[ -z "${2:-}" ] || say "hint: $2"
	exit 1
}

# Lines "package command why". Where command is a name, any program of that name
# will do; where it is -, the package itself must be installed.
requirements() {
	case $1 in go | build | run | image | test | bench) ;; *) die "bootstrap: unknown set of packages '$1'" "one of build, run, image, test, bench" ;; esac
	echo "ca-certificates - the module and package registries are asked over TLS"
	case $1 in
	go) echo "golang-go go fetches the newer Go that Runa is written in"; return ;;
	build) echo "git git names the version that is built"; return ;;
	esac
	cat <<-END
		git git names the version that is built
		make make runs the kernel's build
		gcc gcc compiles the kernel
		libc6-dev - the kernel's build tools are C programs
		flex flex the kernel's configuration language
		bison bison the kernel's configuration language
		bc bc constants in the kernel
		libelf-dev - objtool, part of the kernel's build
		cpio cpio the kernel's built-in file archive
		patch patch makes our few changes to the kernel's source
		kmod depmod the kernel's build asks for it
		perl perl scripts in the kernel's build
		xz-utils xz unpacks the kernel's source
		npm npm fetches the llama.cpp libraries and the models
		grub-common grub-mkimage its libraries, for the pinned grub-mkimage
		dosfstools mkfs.fat makes, and in tests checks, the boot partition
		mtools mcopy fills the boot partition
		vboot-kernel-utils vbutil_kernel its libraries, for the pinned vbutil_kernel
		erofs-utils mkfs.erofs makes the system's partition
		e2fsprogs mke2fs makes, and in tests checks, the data partition
	END
	case $1 in run | test | bench)
		cat <<-END
			qemu-system-x86 qemu-system-x86_64 the machine that boots the image
			qemu-utils qemu-img checks the image
			seabios - PC BIOS for that machine
			ovmf - UEFI for that machine
		END
	esac
	case $1 in test | bench)
		cat <<-END
			grub-pc-bin - GRUB's modules, for tests that make small disks
			cgpt cgpt reads the partition table as a Chromebook does
			systemd-boot-efi - the UEFI stub, for tests that make unified kernels
			procps ps looks at the processes that tests start
		END
	esac
	case $1 in test)
		cat <<-END
			libvirt-clients virt-xml-validate holds the domain for libvirt against libvirt's schema
			libxml2-utils xmllint what virt-xml-validate calls
		END
	esac
	case $1 in bench)
		cat <<-END
			g++ g++ compiles llama-bench, to compare with
			runit runsv restarts services, to compare with
		END
	esac
}

# missing prints those lines of standard input whose need isn't met.
missing() {
	while read -r package command why; do
		if [ "$command" = - ]; then
			installed=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || installed=
			[ "$installed" = installed ] && continue
		else
			PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null && continue
		fi
		echo "$package $command $why"
	done
}

packages() {
	lines=$(requirements "$1") # on its own, so that its failure ends the script
	lines=$(echo "$lines" | missing)
	[ -n "$lines" ] || return 0
	names=$(echo "$lines" | cut -d ' ' -f 1 | tr '\n' ' ')
	names=${names% }
	say "These Debian packages are missing and will be installed:"
	echo "$lines" | while read -r package _ why; do printf '  %-16s %s\n' "$package" "$why" >&2; done
	command -v apt-get >/dev/null || die "bootstrap: this machine has no apt-get" "Runa is built on Debian 12; elsewhere install what corresponds to: $names"
	install="apt-get install -y --no-install-recommends $names"
	if [ "$(id -u)" = 0 ]; then
		as_root=
	elif command -v sudo >/dev/null; then
		as_root=sudo
	else
		die "bootstrap: only root can install packages, and there is no sudo" "run as root: apt-get update && $install"
	fi
	$as_root apt-get -q update >&2 || die "bootstrap: apt-get update failed" "see its messages above"
	# shellcheck disable=SC2086 # a list of words
	$as_root env DEBIAN_FRONTEND=noninteractive $install >&2 ||
		die "bootstrap: apt-get could not install $names" "Runa is built on Debian 12 with its main and security sections: see its messages above"
	still=$(requirements "$1" | missing | cut -d ' ' -f 1 | tr '\n' ' ')
	[ -z "$still" ] || die "bootstrap: still missing after the installation: $still"
}

# new_enough tells whether the Go compiler $1 is at least GO_WANTED.
new_enough() {
	version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
	version=${version#go}
	major=${version%%.*}
	minor=${version#*.}
	minor=${minor%%[!0-9]*}
	[ "$major" -gt "${GO_WANTED%.*}" ] 2>/dev/null && return 0
	[ "$major" -eq "${GO_WANTED%.*}" ] 2>/dev/null && [ "$minor" -ge "${GO_WANTED#*.}" ]
}

go_path() {
	if found=$(command -v go) && new_enough "$found"; then
		echo "$found"
		return
	fi
	home=$CACHE/go/$GO_RELEASE
	[ -x "$home/bin/go" ] || fetch_go "$home"
	echo "$home/bin/go"
}

# fetch_go puts the Go release into folder $1: whole and verified, or not at all.
fetch_go() {
	[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || die "bootstrap: Go $GO_RELEASE is pinned for Linux on x86-64 only" "put a Go of at least $GO_WANTED on PATH"
	packages go
	module=golang.org/toolchain@v0.0.1-go$GO_RELEASE.linux-amd64
	say "Go $GO_WANTED or newer is not on PATH: fetching Go $GO_RELEASE as module $module (about 65 MB) ..."
	mkdir -p "${1%/*}"
	scratch=$(mktemp -d "${1%/*}/.fetch-XXXXXX")
	trap 'rm -rf "$scratch"' EXIT
	trap 'exit 1' HUP INT TERM
	(cd "$scratch" && GO111MODULE=on GOFLAGS=-modcacherw GOTOOLCHAIN=local GOPATH="$scratch/path" GOMODCACHE="$scratch/modules" \
		go mod download "$module" >&2) || die "bootstrap: go mod download $module failed" "see its message above; GOPROXY and the network decide"
	got=$(cd "$scratch/modules" && find "$module" -type f | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum | cut -d ' ' -f 1)
	[ "$got" = "$GO_HASH" ] || die "bootstrap: $module: hash differs: expected $GO_HASH, got $got" "nothing was kept; try again, and if it stays so, find out why the proxy's bytes differ"
	# A module's files carry no permission to run.
	chmod -R u+w "$scratch/modules/$module"
	chmod 755 "$scratch/modules/$module"/bin/* "$scratch/modules/$module"/pkg/tool/*/*
	new_enough "$scratch/modules/$module/bin/go" || die "bootstrap: the fetched Go $GO_RELEASE does not run here"
	sync
	mv -T "$scratch/modules/$module" "$1" 2>/dev/null || [ -x "$1/bin/go" ] || die "bootstrap: could not keep Go in $1"
	say "Go $GO_RELEASE is in $1"
}

case ${1:-} in
go) go_path ;;
packages) packages "${2:-}" ;;
*) die "bootstrap: what to do?" "bootstrap.sh go, or bootstrap.sh packages build|run|image|test|bench" ;;
esac
