package llama

import (
	"reflect"
	"unsafe"

	"github.com/ebitengine/purego"
)

// bindSymbols points every field of f, a pointer to a struct of functions, at
// the C function its tag names.
func bindSymbols(f any, handles []uintptr) error {
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
