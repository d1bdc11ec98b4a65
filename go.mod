module runa

go 1.26.0

require (
	github.com/CycloneDX/cyclonedx-go v0.12.0 // writes the bill of materials; the format's own makers' types and encoder
	github.com/alecthomas/kong v1.17.0 // command lines: flags as struct tags, good help
	github.com/anishathalye/porcupine v1.3.1 // tests of the bus: is a recorded history linearisable
	github.com/charmbracelet/bubbletea v0.24.1 // the live view of the bus; the shell's version, later ones ask the terminal at start
	github.com/containerd/go-dmverity v0.1.0 // trees of hashes for dm-verity, and device-mapper's ioctls
	github.com/diskfs/go-diskfs v1.9.4 // writes the GPT; chosen for the project
	github.com/ebitengine/purego v0.11.0 // calls llama.cpp without cgo, structs by value
	github.com/goccy/go-yaml v1.19.2 // strict YAML whose errors know line and column
	github.com/google/licensecheck v0.3.1 // the licence of a Go module by its text, as the Go project's own pages tell it
	github.com/hashicorp/go-hclog v1.6.3 // structured logs; chosen for the project
	github.com/klauspost/compress v1.20.3 // zstd for the initramfs, deflate with a small window for qcow2
	github.com/muesli/termenv v0.15.1 // bubbletea's output, given to it so that it asks the terminal nothing
	github.com/package-url/packageurl-go v0.1.7 // package URLs in the bill of materials; their escapes differ by type
	github.com/rogpeppe/go-internal v1.16.0 // testscript: tests that read like a session
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3 // tests of the bill of materials: is it what CycloneDX's schema says
	github.com/u-root/gobusybox/src v0.0.0-20250101170133-2e884e4509c7 // makes one binary of u-root's commands
	github.com/u-root/u-root v0.16.0 // the commands, and cpio archives
	github.com/vishvananda/netlink v1.3.1 // interfaces and their events over rtnetlink
	github.com/vmihailenco/msgpack/v5 v5.4.1 // RMP bodies: ordered maps, shortest integers, raw parts
	golang.org/x/crypto v0.58.0 // XChaCha20-Poly1305 for keyed buses; the standard library has none
	golang.org/x/net v0.61.0 // bpf: assembles the filters of system calls
	golang.org/x/sys v0.49.0 // Linux calls that the standard library leaves out
	golang.org/x/term v0.47.0 // whether and how wide a terminal is
	lukechampine.com/blake3 v1.4.1 // keyed hashes and derived keys of keyed buses; pure Go with assembly
	pgregory.net/rapid v1.3.0 // property tests that shrink
)

require (
	github.com/BurntSushi/toml v1.4.1-0.20240526193622-a339e1f7089c // indirect
	github.com/atotto/clipboard v0.1.4 // indirect
	github.com/aymanbagabas/go-osc52/v2 v2.0.1 // indirect
	github.com/charmbracelet/bubbles v0.15.1-0.20230123181021-a6a12c4a31eb // indirect
	github.com/charmbracelet/lipgloss v0.7.1 // indirect
	github.com/containerd/console v1.0.4-0.20230706203907-8f6c4e4faef5 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/fatih/color v1.13.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/klauspost/cpuid/v2 v2.0.9 // indirect
	github.com/klauspost/pgzip v1.2.6 // indirect
	github.com/knz/bubbline v0.0.0-20230717192058-486954f9953f // indirect
	github.com/lucasb-eyer/go-colorful v1.2.0 // indirect
	github.com/mattn/go-colorable v0.1.12 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/mattn/go-localereader v0.0.1 // indirect
	github.com/mattn/go-runewidth v0.0.14 // indirect
	github.com/muesli/ansi v0.0.0-20230316100256-276c6243b2f6 // indirect
	github.com/muesli/cancelreader v0.2.2 // indirect
	github.com/muesli/reflow v0.3.0 // indirect
	github.com/peterh/liner v1.2.2 // indirect
	github.com/pierrec/lz4/v4 v4.1.26 // indirect
	github.com/rck/unit v0.0.3 // indirect
	github.com/rivo/uniseg v0.4.4 // indirect
	github.com/sahilm/fuzzy v0.1.0 // indirect
	github.com/u-root/uio v0.0.0-20240224005618-d2acac8f3701 // indirect
	github.com/ulikunitz/xz v0.5.15 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
	github.com/vmihailenco/tagparser/v2 v2.0.0 // indirect
	golang.org/x/exp v0.0.0-20250305212735-054e65f0b394 // indirect
	golang.org/x/exp/typeparams v0.0.0-20231108232855-2478ac86f678 // indirect
	golang.org/x/mod v0.42.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/tools v0.52.0 // indirect
	honnef.co/go/tools v0.8.2 // indirect
	mvdan.cc/gofumpt v0.12.0 // indirect
	mvdan.cc/sh/v3 v3.11.0 // indirect
)

tool (
	honnef.co/go/tools/cmd/staticcheck
	mvdan.cc/gofumpt
)
