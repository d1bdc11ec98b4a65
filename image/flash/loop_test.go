package flash

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runa/image/progress"
	"runa/image/qcow2"
	"runa/services/hint"
)

func itoa(n int) string { return strconv.Itoa(n) }

func order(image, disk string) (Order, *bytes.Buffer) {
	out := &bytes.Buffer{}
	return Order{Image: image, Disk: disk, Force: true, Yes: true, Host: Here, Out: out, Progress: progress.New(out)}, out
}

func fill(t *testing.T, disk string, size int) {
	t.Helper()
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(bytes.Repeat([]byte{0xa5}, size))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string, size int64) []byte {
	t.Helper()
	s, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	data := aligned(size)
	if err := readFull(s, data, 0); err != nil {
		t.Fatal(err)
	}
	return data
}

func verify(t *testing.T, path, inventory string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := Verify(t.Context(), &out, path, inventory, nil)
	return out.String(), err
}

func packed(t *testing.T, raw string) string {
	t.Helper()
	in, err := os.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(t.TempDir(), "runa.qcow2"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = qcow2.Write(t.Context(), out, in, imageSize, qcow2.Options{})
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

func TestAFlashedDiskIsTheImageAndVerifies(t *testing.T) {
	b := anImage(t)
	for name, image := range map[string]string{"raw": b.raw, "qcow2": packed(t, b.raw)} {
		t.Run(name, func(t *testing.T) {
			const room = imageSize + 3*mebibyte + 512
			loop := loopDevice(t, room)
			fill(t, loop, room)
			o, out := order(image, loop)
			if err := Write(t.Context(), o); err != nil {
				t.Fatalf("%v\nhint: %s\n%s", err, hint.Of(err), out)
			}
			for _, want := range []string{"writing to " + loop, "reading back from " + loop, "what was read back is the same"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in:\n%s", want, out)
				}
			}
			got, want := read(t, loop, room), read(t, b.raw, imageSize)
			clear(got[recordAt:headSize])
			if !bytes.Equal(got[:imageSize], want) {
				t.Error("the disk's bytes are not the image's")
			}
			if end := got[room-tailSize:]; !bytes.Equal(end, make([]byte, tailSize)) {
				t.Error("the disk's end still has what was there")
			}
			said, err := verify(t, loop, b.inventory)
			if err != nil || !strings.Contains(said, "every byte as built") || !strings.Contains(said, loop+" is what was built") {
				t.Errorf("verify says: %v\n%s", err, said)
			}
		})
	}
}

func TestAFlippedByteOnAStickIsFoundAndNamed(t *testing.T) {
	loop := loopDevice(t, imageSize)
	o, _ := order(anImage(t).raw, loop)
	if err := Write(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(loop, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	const place = 2*mebibyte + 40*mebibyte + 5 // free space of the boot partition, which begins at 2 MiB
	_, err = f.WriteAt([]byte{1}, place)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = verify(t, loop, "")
	if !errors.Is(err, ErrDiffers) || !strings.Contains(err.Error(), "partition runa-boot") || !strings.Contains(err.Error(), "41943040 to 42008575") {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(hint.Of(err), "the boot files are whole") {
		t.Errorf("hint %q", hint.Of(err))
	}
}

// stopper cancels when it is told that writing has begun.
type stopper struct {
	stop context.CancelFunc
	at   string
}

func (s stopper) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.at) {
		s.stop()
	}
	return len(p), nil
}

func TestAnInterruptedFlashIsSaidToBeUnusableUntilItIsDoneAgain(t *testing.T) {
	for _, at := range []string{"writing to", "reading back"} {
		t.Run(at, func(t *testing.T) {
			b := anImage(t)
			loop := loopDevice(t, imageSize)
			o, _ := order(b.raw, loop)
			if err := Write(t.Context(), o); err != nil { // what is there before is whole
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			o.Progress = progress.New(stopper{stop, at})
			err := Write(ctx, o)
			if !errors.Is(err, ErrUnusable) || !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
			_, err = verify(t, loop, "")
			if !errors.Is(err, ErrUnusable) || hint.Of(err) == "" {
				t.Fatalf("verify says %v", err)
			}
			if lines, err := contentsOf(loop); err != nil || !strings.Contains(strings.Join(lines, "\n"), "not wholly written") {
				t.Errorf("the question would show %q, %v", lines, err)
			}
			o.Progress = nil
			if err := Write(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if _, err := verify(t, loop, b.inventory); err != nil {
				t.Errorf("flashed again: %v", err)
			}
		})
	}
}

func TestADiskIsNotWrittenToUnlessAllIsInOrder(t *testing.T) {
	image := anImage(t).raw
	damaged := aSealedImage(t)
	f, err := os.OpenFile(damaged, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{0x77}, mebibyte+100)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		size   int64
		change func(*Order)
		want   string
	}{
		"not removable, not forced": {imageSize, func(o *Order) { o.Force = false }, "not removable"},
		"too small":                 {imageSize - mebibyte, func(*Order) {}, "the image needs"},
		"no terminal":               {imageSize, func(o *Order) { o.Yes = false }, "no terminal"},
		"answer is y":               {imageSize, func(o *Order) { o.Yes, o.Terminal, o.In = false, true, strings.NewReader("y\n") }, `the answer was "y"`},
		"no answer":                 {imageSize, func(o *Order) { o.Yes, o.Terminal, o.In = false, true, strings.NewReader("") }, "no answer"},
		"no image":                  {imageSize, func(o *Order) { o.Image = filepath.Join(t.TempDir(), "none") }, "no such file"},
		"something else":            {imageSize, func(o *Order) { o.Image = anImage(t).inventory }, "no GUID partition table"},
		"a damaged image":           {imageSize, func(o *Order) { o.Image = damaged }, "partition runa-bios is not what was built"},
	} {
		t.Run(name, func(t *testing.T) {
			loop := loopDevice(t, test.size)
			fill(t, loop, 4096)
			before := read(t, loop, test.size)
			o, _ := order(image, loop)
			test.change(&o)
			err := Write(t.Context(), o)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if !bytes.Equal(before, read(t, loop, test.size)) {
				t.Error("it was written to")
			}
		})
	}
}

func TestTheWordYesIsEnough(t *testing.T) {
	loop := loopDevice(t, imageSize)
	o, out := order(anImage(t).raw, loop)
	o.Yes, o.Terminal, o.In = false, true, strings.NewReader("yes\n")
	if err := Write(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "loop device of ") || !strings.Contains(out.String(), "Type yes") {
		t.Errorf("asked:\n%s", out)
	}
}

func TestCtrlCEndsTheWaitForAnAnswer(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	in, w := io.Pipe()
	defer w.Close()
	if _, err := readAnswer(ctx, in); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAMountedDiskIsRefusedEvenIfProcDoesNotShowTheMount(t *testing.T) {
	loop := loopDevice(t, imageSize)
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-L", "holiday", loop).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v\n%s\nhint: apt-get install e2fsprogs", err, out)
	}
	point := t.TempDir()
	if err := unix.Mount(loop, point, "ext4", 0, ""); err != nil {
		t.Fatalf("mount %s: %v\nhint: this test needs root", loop, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(point, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	o, _ := order(anImage(t).raw, loop)
	if err := Write(t.Context(), o); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "mounted") || !strings.Contains(err.Error(), point) {
		t.Errorf("got %v", err)
	}
	blind := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(blind, "self"), 0o700), os.WriteFile(filepath.Join(blind, "self/mountinfo"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	o.Host.Proc = blind
	if err := Write(t.Context(), o); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("without mountinfo: got %v", err)
	}
	if lines, err := contentsOf(loop); err != nil || len(lines) != 1 || lines[0] != `the whole disk: ext4 "holiday"` {
		t.Errorf("the question would show %q, %v", lines, err)
	}
}

func TestASwapSpaceIsRefused(t *testing.T) {
	loop := loopDevice(t, imageSize)
	proc := t.TempDir()
	swaps := "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" + loop + "                              partition\t98300\t\t0\t\t-2\n"
	if err := errors.Join(os.Mkdir(filepath.Join(proc, "self"), 0o700), os.WriteFile(filepath.Join(proc, "self/mountinfo"), nil, 0o600),
		os.WriteFile(filepath.Join(proc, "swaps"), []byte(swaps), 0o600)); err != nil {
		t.Fatal(err)
	}
	o, _ := order(anImage(t).raw, loop)
	o.Host.Proc = proc
	if err := Write(t.Context(), o); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "swap") {
		t.Errorf("got %v", err)
	}
}
