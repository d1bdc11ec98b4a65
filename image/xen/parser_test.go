package xen

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
)

// xl itself, even with -n, stops at once where there is no Xen ("cannot open libxc
// handle: No such file or directory", "cannot init xl context"), so these tests
// call the libraries in which xl reads its configurations and disks: libxlutil and,
// for the disk as xl then shows it, libxenlight. What they can't show is how xl takes
// the keys together; that needs a machine with Xen below it.
type parser struct {
	open    func(path, mode string) uintptr // libc's fopen
	close   func(file uintptr) int32
	flush   func(file uintptr) int32
	begin   func(report uintptr, name string) uintptr
	read    func(configuration uintptr, data string, bytes int32) int32
	end     func(configuration uintptr)
	text    func(configuration uintptr, key string, value *uintptr, quiet int32) int32
	number  func(configuration uintptr, key string, value *int64, quiet int32) int32
	list    func(configuration uintptr, key string, list *uintptr, entries *int32, quiet int32) int32
	item    func(list uintptr, entry int32) uintptr
	disk    func(configuration uintptr, count int32, specs *uintptr, disk unsafe.Pointer) int32
	asJSON  func(context uintptr, disk unsafe.Pointer) uintptr
	release func(pointer uintptr)
}

// diskBytes has room for a struct libxl_device_disk, about 200 bytes in Xen 4.17.
const diskBytes = 4096

var libraries = sync.OnceValues(func() (parser, error) {
	var p parser
	for name, functions := range map[string]map[string]any{
		"libc.so.6": {"fopen": &p.open, "fclose": &p.close, "fflush": &p.flush, "free": &p.release},
		"libxlutil.so.4.17": {
			"xlu_cfg_init": &p.begin, "xlu_cfg_readdata": &p.read, "xlu_cfg_destroy": &p.end,
			"xlu_cfg_get_string": &p.text, "xlu_cfg_get_long": &p.number,
			"xlu_cfg_get_list": &p.list, "xlu_cfg_get_listitem": &p.item, "xlu_disk_parse": &p.disk,
		},
		"libxenlight.so.4.17": {"libxl_device_disk_to_json": &p.asJSON},
	} {
		handle, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_GLOBAL)
		if err != nil {
			return p, err
		}
		for symbol, function := range functions {
			purego.RegisterLibFunc(function, handle, symbol)
		}
	}
	return p, nil
})

// read is a configuration as xl's parser has read it.
type read struct {
	*testing.T
	parser
	configuration uintptr
	file          uintptr // what the parser's complaints go to, a C stream
	report        string  // and the path of that
}

// parse gives text to xl's parser and tells whether it was accepted.
func parse(t *testing.T, text string) (r read, accepted bool) {
	t.Helper()
	p, err := libraries()
	if err != nil {
		t.Fatalf("load xl's parser: %v\nhint: apt-get install --no-install-recommends libxenmisc4.17", err)
	}
	r = read{T: t, parser: p, report: filepath.Join(t.TempDir(), "report")}
	file := p.open(r.report, "w")
	if file == 0 {
		t.Fatalf("open %s for the parser's report", r.report)
	}
	r.file, r.configuration = file, p.begin(file, "configuration")
	t.Cleanup(func() {
		p.end(r.configuration)
		p.close(file)
	})
	return r, p.read(r.configuration, text, int32(len(text))) == 0
}

// mustParse is parse of what must be accepted.
func mustParse(t *testing.T, text string) read {
	t.Helper()
	r, accepted := parse(t, text)
	if !accepted {
		t.Fatalf("xl refuses the configuration: %s\n%s", r.complaints(), text)
	}
	return r
}

func (r read) String(key string) string {
	r.Helper()
	var value uintptr
	if r.text(r.configuration, key, &value, 1) != 0 {
		return ""
	}
	return goString(value)
}

func (r read) Number(key string) int64 {
	r.Helper()
	var value int64
	if r.number(r.configuration, key, &value, 1) != 0 {
		r.Errorf("%s is no number", key)
	}
	return value
}

// List returns the strings of a list, nil if there is no such key.
func (r read) List(key string) (items []string) {
	r.Helper()
	var list uintptr
	var entries int32
	if r.list(r.configuration, key, &list, &entries, 1) != 0 {
		return nil
	}
	for i := range entries {
		items = append(items, goString(r.item(list, i)))
	}
	return items
}

// Disk returns what xl makes of a disk specification, as xl create -n would show it.
func (r read) Disk(specification string) map[string]any {
	r.Helper()
	text := append([]byte(specification), 0)
	pointer := uintptr(unsafe.Pointer(&text[0]))
	disk := make([]byte, diskBytes)
	if code := r.disk(r.configuration, 1, &pointer, unsafe.Pointer(&disk[0])); code != 0 {
		r.Fatalf("xl refuses the disk %q: error %d", specification, code)
	}
	shown := r.asJSON(0, unsafe.Pointer(&disk[0]))
	defer r.release(shown)
	var decoded map[string]any
	if err := json.Unmarshal([]byte(goString(shown)), &decoded); err != nil {
		r.Fatalf("what xl makes of the disk %q: %v", specification, err)
	}
	return decoded
}

// goString copies a C string, which stays the library's own.
func goString(pointer uintptr) string {
	if pointer == 0 {
		return ""
	}
	start := *(**byte)(unsafe.Pointer(&pointer))
	length := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(start), length)) != 0 {
		length++
	}
	return strings.Clone(unsafe.String(start, length))
}

// complaints are what the parser wrote to its report.
func (r read) complaints() string {
	r.Helper()
	r.flush(r.file)
	text, err := os.ReadFile(r.report)
	if err != nil {
		r.Fatal(err)
	}
	return string(bytes.TrimSpace(text))
}
