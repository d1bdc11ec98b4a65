package libvirt

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"runa/services/hint"
)

var update = flag.Bool("update", false, "write the golden file anew")

const disk = Folder + "/runa.qcow2"

func write(t *testing.T, disk string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, disk); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestTheDomain(t *testing.T) {
	got := write(t, disk)
	golden := filepath.Join("testdata", "runa.xml")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
}

// element is any element of a domain.
type element struct {
	XMLName    xml.Name
	Attributes []xml.Attr `xml:",any,attr"`
	Text       string     `xml:",chardata"`
	Elements   []element  `xml:",any"`
}

func (e element) attribute(name string) string {
	for _, a := range e.Attributes {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// all returns e and every element below it.
func (e element) all() []element {
	list := []element{e}
	for _, child := range e.Elements {
		list = append(list, child.all()...)
	}
	return list
}

func decode(t *testing.T, domain []byte) element {
	t.Helper()
	var e element
	if err := xml.Unmarshal(domain, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// devices names each device of a domain as "kind" or "kind model".
func devices(t *testing.T, domain []byte) (names []string) {
	for _, e := range decode(t, domain).all() {
		if e.XMLName.Local != "devices" {
			continue
		}
		for _, device := range e.Elements {
			name := device.XMLName.Local
			for _, key := range []string{"type", "model"} {
				name = strings.TrimSpace(name + " " + device.attribute(key))
			}
			for _, child := range device.Elements {
				if child.XMLName.Local == "model" {
					name += " " + child.attribute("type")
				}
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// allowed are all devices that the domain may have, each exactly once.
var allowed = []string{
	"audio none", "channel unix", "console pty", "controller usb none", "controller virtio-serial",
	"disk file", "memballoon none", "rng virtio", "serial pty", "video none",
}

func TestTheDomainHasNoNetworkAndNoOtherDeviceThanThese(t *testing.T) {
	if got := devices(t, write(t, disk)); !slices.Equal(got, allowed) {
		t.Errorf("devices\n%q, want\n%q", got, allowed)
	}
}

func TestTheDomainNamesNoPathOfTheHostButThoseGiven(t *testing.T) {
	var found []string
	for _, e := range decode(t, write(t, disk)).all() {
		values := []string{strings.TrimSpace(e.Text)}
		for _, a := range e.Attributes {
			values = append(values, a.Value)
		}
		for _, value := range values {
			if strings.HasPrefix(value, "/") {
				found = append(found, value)
			}
		}
	}
	slices.Sort(found)
	if want := []string{"/dev/urandom", disk, Channel}; !slices.Equal(found, want) {
		t.Errorf("paths %q, want %q", found, want)
	}
}

// run runs a program of libvirt's with the domain in a file and returns what it
// prints.
func run(t *testing.T, domain []byte, name string, args func(file string) []string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "runa.xml")
	if err := os.WriteFile(file, domain, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{name, "xmllint"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v\nhint: apt-get install --no-install-recommends libvirt-clients libxml2-utils", err)
		}
	}
	cmd := exec.Command(name, args(file)...)
	// virsh keeps a history at home; there is none.
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C.UTF-8")
	output, err := cmd.CombinedOutput()
	return string(output), err
}

func validate(t *testing.T, domain []byte) (string, error) {
	t.Helper()
	return run(t, domain, "virt-xml-validate", func(file string) []string { return []string{file, "domain"} })
}

// paths are some that an admin may have.
var paths = []string{disk, "/a b/it's <&> \"x\".qcow2", "/größe/猫", "/comma,x", "/100%"}

func TestVirtXMLValidateAcceptsTheDomain(t *testing.T) {
	for _, path := range paths {
		if output, err := validate(t, write(t, path)); err != nil {
			t.Errorf("%s: %v\n%s", path, err, output)
		}
	}
}

func TestVirtXMLValidateIsTheOneThatRefuses(t *testing.T) {
	domain := bytes.Replace(write(t, disk), []byte(`bus="virtio"`), []byte(`bus="carrier pigeon"`), 1)
	output, err := validate(t, domain)
	if exit := new(exec.ExitError); !errors.As(err, &exit) || !strings.Contains(output, "fails to validate") {
		t.Errorf("%v\n%s", err, output)
	}
}

// libvirt adds devices of its own accord when it reads a domain. Its test driver
// reads it as the others do and runs nothing; only its kind of domain is another.
func TestLibvirtAddsNoNetworkToTheDomain(t *testing.T) {
	for _, path := range paths {
		domain := bytes.Replace(write(t, path), []byte(`<domain type="kvm">`), []byte(`<domain type="test">`), 1)
		output, err := run(t, domain, "virsh", func(file string) []string {
			return []string{"--quiet", "--connect", "test:///default", "define --validate " + file + "; dumpxml runa"}
		})
		start := strings.Index(output, "<domain")
		if err != nil || start < 0 {
			t.Fatalf("%s: %v\n%s", path, err, output)
		}
		defined := []byte(output[start:])
		for _, kind := range []string{"interface", "hostdev", "redirdev", "graphics", "sound", "smartcard", "filesystem", "vsock", "shmem"} {
			if bytes.Contains(defined, []byte("<"+kind)) {
				t.Errorf("%s: libvirt adds %s:\n%s", path, kind, defined)
			}
		}
		for _, e := range decode(t, defined).all() {
			if e.XMLName.Local == "source" && e.attribute("file") != "" && e.attribute("file") != path {
				t.Errorf("libvirt reads the disk %q, want %q", e.attribute("file"), path)
			}
		}
	}
}

func TestADiskThatLibvirtCouldNotUseIsRefused(t *testing.T) {
	for _, path := range []string{"", "runa.qcow2", "/a\nb", "/\x00", "/\xff", "/\uffff"} {
		var out bytes.Buffer
		if err := Write(&out, path); err == nil || hint.Of(err) == "" || out.Len() != 0 {
			t.Errorf("%q: %v, %d bytes written", path, err, out.Len())
		}
	}
}

func FuzzAnyDiskEndsUpInTheDomainOrIsRefused(f *testing.F) {
	for _, path := range paths {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		var out bytes.Buffer
		if err := Write(&out, path); err != nil {
			return
		}
		if got := devices(t, out.Bytes()); !slices.Equal(got, allowed) {
			t.Errorf("%q gives the devices %q", path, got)
		}
		for _, e := range decode(t, out.Bytes()).all() {
			if e.XMLName.Local == "source" && e.attribute("file") != "" && e.attribute("file") != path {
				t.Errorf("%q became %q", path, e.attribute("file"))
			}
		}
	})
}

func TestAFullDiskIsReported(t *testing.T) {
	reader, writer := io.Pipe()
	reader.Close()
	if err := Write(writer, disk); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}
