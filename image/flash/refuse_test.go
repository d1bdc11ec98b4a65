package flash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runa/services/hint"
)

// fake is a machine made of files.
type fake struct {
	t       *testing.T
	root    string
	numbers map[string]Number
	mounts  string
	swaps   string
}

func newFake(t *testing.T) *fake {
	return &fake{
		t: t, root: t.TempDir(), numbers: map[string]Number{},
		mounts: "22 27 0:21 / /proc rw,relatime - proc proc rw\n",
		swaps:  "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
	}
}

func (f *fake) write(path, text string) {
	f.t.Helper()
	path = filepath.Join(f.root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fake) link(to, path string) {
	f.t.Helper()
	path = filepath.Join(f.root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.Symlink(filepath.Join(f.root, to), path)); err != nil {
		f.t.Fatal(err)
	}
}

// add makes a device in the folder of sysfs; a partition's is its disk's.
func (f *fake) add(folder, number string) {
	f.t.Helper()
	n, err := parseNumber(number)
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(folder+"/dev", number+"\n")
	f.link(folder, "sys/dev/block/"+number)
	f.numbers["/dev/"+deviceName(folder)] = n
}

const (
	stick   = "sys/devices/pci/usb1/block/sdb"
	mapped  = "sys/devices/virtual/block/dm-0"
	onFile  = "sys/devices/virtual/block/loop3"
	holiday = "42 30 8:17 / /media/my\\040stick rw - vfat /dev/sdb1 rw\n"
)

// plug adds a stick of 8 GB with one partition.
func (f *fake) plug() {
	f.add(stick, "8:16")
	for name, text := range map[string]string{
		"size": "15728640", "ro": "0", "removable": "1", "diskseq": "7", "queue/logical_block_size": "512",
		"device/vendor": "ACME    ", "device/model": "Stick 3.0\x1b[2J    ",
	} {
		f.write(stick+"/"+name, text+"\n")
	}
	f.add(stick+"/sdb1", "8:17")
	f.write(stick+"/sdb1/partition", "1\n")
}

// stack adds a device that holds another.
func (f *fake) stack(on string) {
	f.add(mapped, "253:0")
	f.link(mapped, on+"/holders/dm-0")
}

func (f *fake) host() Host {
	f.write("proc/self/mountinfo", f.mounts)
	f.write("proc/swaps", f.swaps)
	return Host{Proc: filepath.Join(f.root, "proc"), Sys: filepath.Join(f.root, "sys"), Number: func(path string) (Number, error) {
		if n, ok := f.numbers[path]; ok {
			return n, nil
		}
		if path == "/etc/passwd" {
			return Number{}, fmt.Errorf("%s is %w", path, ErrNotBlock)
		}
		return Number{}, &os.PathError{Op: "look at", Path: path, Err: os.ErrNotExist}
	}}
}

func TestADiskIsRefusedWithAReasonAndAHint(t *testing.T) {
	mounted := func(what string) func(*fake) { return func(f *fake) { f.mounts += what } }
	attribute := func(name, value string) func(*fake) {
		return func(f *fake) { f.write(stick+"/"+name, value+"\n") }
	}
	for name, test := range map[string]struct {
		path   string
		change func(*fake)
		force  bool
		want   string // "": it isn't refused
	}{
		"a stick":                            {},
		"a file":                             {path: "/etc/passwd", want: "not a block device"},
		"nothing":                            {path: "/dev/sdz", want: "file does not exist"},
		"gone from sysfs":                    {change: func(f *fake) { f.numbers["/dev/sdb"] = Number{8, 99} }, want: "no such device in sysfs"},
		"a partition":                        {path: "/dev/sdb1", want: "is a partition"},
		"no medium":                          {change: attribute("size", "0"), want: "no medium"},
		"no sensible size":                   {change: attribute("size", "-1"), want: "no amount"},
		"an impossible size":                 {change: attribute("size", "9223372036854775807"), want: "impossible"},
		"read-only":                          {change: attribute("ro", "1"), want: "read-only"},
		"perhaps read-only":                  {change: attribute("ro", ""), want: "read-only"},
		"large sectors":                      {change: attribute("queue/logical_block_size", "4096"), want: "sectors of 4096"},
		"too small":                          {change: attribute("size", "2047"), want: "the image needs"},
		"exactly large enough":               {change: attribute("size", "2048")},
		"not removable":                      {change: attribute("removable", "0"), want: "not removable"},
		"not removable, forced":              {change: attribute("removable", "0"), force: true},
		"itself mounted":                     {change: mounted("42 30 8:16 / /mnt rw - ext4 /dev/sdb rw\n"), want: "mounted: sdb at /mnt"},
		"a partition mounted":                {change: mounted(holiday), want: "mounted: sdb1 at /media/my stick"},
		"a partition mounted, forced":        {change: mounted(holiday), force: true, want: "mounted"},
		"mounted by a number of its own":     {change: mounted("42 30 0:44 /@ /mnt rw shared:1 - btrfs /dev/sdb1 rw\n"), want: "mounted: sdb1"},
		"mounted by a name that is gone":     {change: func(f *fake) { f.mounts += "4 3 0:4 / /mnt rw - btrfs /dev/sdb1 rw\n"; delete(f.numbers, "/dev/sdb1") }, want: "mounted: sdb1"},
		"the root":                           {change: mounted("27 1 8:17 / / rw - ext4 /dev/sdb1 rw\n"), force: true, want: "this machine runs from /dev/sdb (sdb1 is /)"},
		"/boot, and mounted elsewhere first": {change: mounted(holiday + "28 1 8:17 / /boot/efi rw - vfat /dev/sdb1 rw\n"), want: "runs from"},
		"the root by device mapper": {change: func(f *fake) {
			f.stack(stick + "/sdb1")
			f.mounts += "27 1 253:0 / / rw - ext4 /dev/mapper/root rw\n"
		}, force: true, want: "runs from /dev/sdb (dm-0 is /)"},
		"the root on a partition of a RAID": {change: func(f *fake) {
			f.stack(stick)
			f.add(mapped+"/dm-0p1", "259:1")
			f.write(mapped+"/dm-0p1/partition", "1\n")
			f.mounts += "27 1 259:1 / / rw - ext4 /dev/dm-0p1 rw\n"
		}, want: "runs from"},
		"swap":                    {change: func(f *fake) { f.swaps += "/dev/sdb1 partition 1 0 -2\n" }, want: "swap space (sdb1)"},
		"swap by device mapper":   {change: func(f *fake) { f.stack(stick); f.swaps += "/dev/dm-0 partition 1 0 -2\n" }, want: "swap space (dm-0)"},
		"a holder":                {change: func(f *fake) { f.stack(stick) }, force: true, want: "in use: sdb is part of dm-0"},
		"a partition's holder":    {change: func(f *fake) { f.stack(stick + "/sdb1") }, want: "in use: sdb1 is part of dm-0"},
		"a loop device's file":    {change: func(f *fake) { f.loop("/dev/sdb1") }, want: "in use: sdb1 is part of loop3"},
		"another's loop device":   {change: func(f *fake) { f.loop("/home/disk.img") }},
		"another disk is mounted": {change: mounted("27 1 8:1 / / rw - ext4 /dev/sda1 rw\n")},
		"mountinfo not readable":  {change: mounted("nonsense\n"), want: "look what is mounted"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.plug()
			if test.change != nil {
				test.change(f)
			}
			if test.path == "" {
				test.path = "/dev/sdb"
			}
			h := f.host()
			disk, err := h.Disk(test.path)
			if err == nil {
				err = h.Check(disk, 2048*512, test.force)
			}
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if hint.Of(err) == "" && !strings.Contains(test.want, "amount") && !strings.Contains(test.want, "impossible") {
				t.Errorf("%v: no hint", err)
			}
		})
	}
}

// loop adds a loop device of the file or device at path.
func (f *fake) loop(path string) {
	f.add(onFile, "7:3")
	f.write(onFile+"/loop/backing_file", path+"\n")
	f.link(onFile, "sys/block/loop3")
}

func TestADiskIsDescribedAndItsWordsCanNotSteerTheTerminal(t *testing.T) {
	f := newFake(t)
	f.plug()
	disk, err := f.host().Disk("/dev/sdb")
	if err != nil {
		t.Fatal(err)
	}
	if got := disk.title(); got != "ACME Stick 3.0?[2J, 8.1 GB" {
		t.Errorf("got %q", got)
	}
	if len(disk.Partitions) != 1 || disk.Partitions[0] != (Device{"sdb1", Number{8, 17}}) || disk.Sequence != "7" {
		t.Errorf("got %+v", disk)
	}
}

func FuzzMountsAndSwaps(f *testing.F) {
	f.Add("42 30 8:17 / /media/my\\040stick rw shared:1 master:2 - vfat /dev/sdb1 rw\n27 1 0:5 / / rw -  rw\n")
	f.Add("Filename Type Size\n/dev/sda\\0401 partition 1 0 -2\n")
	f.Add("1 2 3:4 / / rw - x\n\n\\777 \\04")
	f.Fuzz(func(t *testing.T, text string) {
		if mounts, err := parseLines(strings.NewReader(text), parseMount); err == nil && len(mounts) > strings.Count(text, "\n")+1 {
			t.Errorf("%d mounts in %q", len(mounts), text)
		}
		swaps, _ := parseLines(strings.NewReader(text), parseSwap)
		for _, s := range swaps {
			if !strings.HasPrefix(s.path, "/") {
				t.Errorf("swap space %q", s.path)
			}
		}
	})
}

func FuzzSysfs(f *testing.F) {
	f.Add("8:17", "15728640", "ACME\x1b[2J")
	f.Add(":", "-1", "\xff")
	f.Fuzz(func(t *testing.T, number, size, model string) {
		if n, err := parseNumber(number); err == nil {
			if again, err := parseNumber(n.String()); err != nil || again != n {
				t.Errorf("%q: %v, then %v, %v", number, n, again, err)
			}
		}
		if n, err := parseAmount(size); err == nil && n < 0 {
			t.Errorf("%q gives %d", size, n)
		}
		for _, r := range printable(model) {
			if r < ' ' || r == 0x7f {
				t.Errorf("%q keeps %q", model, r)
			}
		}
	})
}
