package llama

import (
	"reflect"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/ebitengine/purego"
)

// bindSymbols points every field of f at the C function its tag names.
func bindSymbols(f *functions, handles []uintptr) error {
	value := reflect.ValueOf(f).Elem()
	for i := range value.NumField() {
		field := value.Type().Field(i)
		address, err := lookup(handles, field.Tag.Get("c"))
		if err != nil {
			return err
		}
		pointer := reflect.NewAt(field.Type, unsafe.Pointer(value.Field(i).UnsafeAddr()))
		purego.RegisterFunc(pointer.Interface(), address)
	}
	return nil
}

// logSink is where llama.cpp's messages go; the C callback is made once, since
// callbacks are never released.
var (
	logSink     atomic.Pointer[LogFunc]
	logCallback = purego.NewCallback(receiveLog)
)

func setLog(l *Library, log LogFunc) {
	if log == nil {
		log = func(int, string) {}
	}
	logSink.Store(&log)
	l.c.logSet(logCallback, 0)
}

// muteLog drops llama.cpp's messages until the returned function is called; it
// is used around calls whose messages would repeat a person's words.
func muteLog() (restore func()) {
	quiet := LogFunc(func(int, string) {})
	before := logSink.Swap(&quiet)
	return func() { logSink.Store(before) }
}

func receiveLog(level int32, text *byte, _ uintptr) uintptr {
	line := strings.TrimSpace(goString(text))
	if sink := logSink.Load(); sink != nil && strings.Trim(line, ".") != "" {
		(*sink)(int(level), line)
	}
	return 0
}

// goString copies a C string; nil gives "".
func goString(text *byte) string {
	if text == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(text), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(text, n))
}
