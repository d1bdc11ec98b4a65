package flash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"runa/image/disk"
	"runa/image/inventory"
	"runa/services/hint"
)

const (
	grubFolder = "/usr/lib/grub/i386-pc"
	imageSize  = 96 * mebibyte
)

// built is an image of a few made-up files, sealed, that all tests read.
type built struct{ folder, raw, inventory string }

var build = sync.OnceValues(func() (built, error) {
	folder, err := os.MkdirTemp("", "runa-flash-test-")
	if err != nil {
		return built{}, err
	}
	b := built{folder, filepath.Join(folder, "runa.raw"), filepath.Join(folder, "inventory.json")}
	return b, b.make()
})

func (b built) make() error {
	inv := inventory.Inventory{Version: "test", Target: "usb"}
	spec := disk.Spec{Size: imageSize, Label: "flash test", GRUB: grubFolder, CommandLine: "quiet", Inventory: b.inventory}
	kernel := bytes.Repeat([]byte("kernel"), 30000)
	copy(kernel, "MZ")
	copy(kernel[0x202:], "HdrS")
	for _, file := range []struct {
		field      *string
		path       string
		name, kind string
		data       []byte
	}{
		{&spec.Kernel, disk.KernelPath, "linux", "kernel", kernel},
		{&spec.System, "", "system", "boot", bytes.Repeat([]byte("erofs"), 50000)},
		{&spec.Chrome, "", "chromeos-kernel", "boot", bytes.Repeat([]byte("CHROMEOS"), 9000)},
		{&spec.UKI, disk.UKIPath, "uki", "boot", bytes.Repeat([]byte("uki"), 70000)},
	} {
		*file.field = filepath.Join(b.folder, file.name)
		if err := os.WriteFile(*file.field, file.data, 0o600); err != nil {
			return err
		}
		path := "esp:" + file.path
		if file.path == "" {
			path = disk.PartitionPath(map[string]string{"system": disk.SystemName, "chromeos-kernel": disk.ChromeName}[file.name])
		}
		hash := sha256.Sum256(file.data)
		inv.Parts = append(inv.Parts, inventory.Part{
			Name: file.name, Kind: file.kind, Path: path, Bytes: int64(len(file.data)), SHA256: hex.EncodeToString(hash[:]),
		})
	}
	var text bytes.Buffer
	if err := errors.Join(inv.Write(&text), os.WriteFile(b.inventory, text.Bytes(), 0o600)); err != nil {
		return err
	}
	out, err := os.Create(b.raw)
	if err != nil {
		return err
	}
	_, err = disk.Build(context.Background(), spec, out)
	return errors.Join(err, out.Close())
}

func TestMain(m *testing.M) {
	status := m.Run()
	if b, err := build(); err == nil {
		os.RemoveAll(b.folder)
	}
	os.Exit(status)
}

// anImage returns the paths of an image as disk.Build makes it and of its inventory.
func anImage(t *testing.T) built {
	t.Helper()
	b, err := build()
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, hint.Of(err))
	}
	return b
}

// aSealedImage returns the path of a copy that carries a record.
func aSealedImage(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(anImage(t).raw)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sealed.raw")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Seal(t.Context(), f, imageSize), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// loopDevice returns the path of a loop device of a new file of size bytes, which
// goes when the test ends.
func loopDevice(t *testing.T, size int64) string {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Fatalf("%v\nhint: this test needs root and loop devices: modprobe loop, or run it outside of a container", err)
	}
	defer control.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for range 1000 { // another test may take the free one first
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Fatalf("ask for a free loop device: %v", err)
		}
		path := "/dev/loop" + itoa(number)
		loop, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatalf("%v\nhint: /dev must be a devtmpfs, or have %s", err, path)
		}
		config := unix.LoopConfig{Fd: uint32(file.Fd()), Size: 512, Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		copy(config.Info.File_name[:], file.Name())
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &config)
		if err == nil {
			t.Cleanup(func() { loop.Close() })
			return path
		}
		loop.Close()
		if !errors.Is(err, unix.EBUSY) {
			t.Fatalf("make the loop device %s: %v", path, err)
		}
	}
	t.Fatal("every free loop device was taken by somebody else first")
	return ""
}
