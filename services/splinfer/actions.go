package splinfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"runa/services/gguf/loadable"
	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinfer/llama"
)

// actions change which models there are, one at a time. Each is done by the
// goroutine of the client who asked for it, but for loading.
type actions struct {
	mu      sync.Mutex
	library *llama.Library
	folder  folder
	imports string // folder of files that may be added; empty: none
	threads int
}

// do carries an action out and tells how far it is.
func (a *actions) do(ctx context.Context, action rmp.ModelAction, tell func(rmp.Progress)) error {
	if a.folder.added == "" {
		err := errors.New("change models: splinfer was started without a folder for added models")
		return fail(rmp.CodeParameterInvalid, hint.New(err, "start splinfer with --added"))
	}
	if !a.mu.TryLock() {
		return fail(rmp.CodeBusy, hint.New(errors.New("change models: another change is under way"), "try again when it is done"))
	}
	defer a.mu.Unlock()
	if err := os.MkdirAll(a.folder.added, 0o700); err != nil {
		return fmt.Errorf("change models: %w", err)
	}
	switch action.Action {
	case rmp.ModelAdd:
		return a.add(ctx, action, tell)
	case rmp.ModelRequantize:
		return a.requantize(ctx, action, tell)
	case rmp.ModelRemove:
		return a.remove(action.Name)
	}
	return fail(rmp.CodeParameterInvalid, errors.New("change models: the action is none of load, unload, add, requantize and remove"))
}

// add copies a file that was checked from the folder of imports.
func (a *actions) add(ctx context.Context, action rmp.ModelAction, tell func(rmp.Progress)) error {
	source := action.Source
	if a.imports == "" || source == "" || strings.Contains(source, "/") || source[0] == '.' {
		err := errors.New("add model: that is no name of a file in the folder of imports")
		return fail(rmp.CodeParameterInvalid, hint.New(err, "copy the file to %s and give its name", a.imports))
	}
	name := action.Name
	if name == "" {
		name = strings.TrimSuffix(source, extension)
	}
	if err := a.vacant(name); err != nil {
		return err
	}
	from := filepath.Join(a.imports, source)
	_, err := loadable.Check(from)
	if errors.Is(err, loadable.ErrAdapter) {
		_, err = loadable.CheckAdapter(from)
	}
	if errors.Is(err, os.ErrNotExist) {
		return fail(rmp.CodeModelUnknown, hint.New(fmt.Errorf("add model: %s does not exist", from), "copy the file there first"))
	}
	if err != nil {
		return fail(rmp.CodeModelInvalid, err)
	}
	return a.publish(filepath.Join(a.folder.added, name+extension), func(temp string) error {
		return copyFile(ctx, temp, from, func(part float64) { tell(rmp.Progress{Part: part, Text: "copying " + name}) })
	})
}

// vacant refuses a name that is none, or that a model has already.
func (a *actions) vacant(name string) error {
	if !validName(name) {
		return fail(rmp.CodeParameterInvalid, errors.New("change models: that is no name of a model"))
	}
	if exists(a.folder.find(name)) {
		err := fmt.Errorf("change models: there is a model %s already", name)
		return fail(rmp.CodeParameterInvalid, hint.New(err, "give another name, or remove that one first"))
	}
	return nil
}

// publish lets a file appear under its name when it is whole.
func (a *actions) publish(path string, write func(temp string) error) error {
	temp := path + ".temp"
	err := write(temp)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// copyFile copies and waits until all of it is on the disk.
func copyFile(ctx context.Context, to, from string, tell func(float64)) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("add model: %w", err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return fmt.Errorf("add model: %w", err)
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("add model: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	const piece = 4 << 20
	for done := int64(0); done < info.Size(); done += piece {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := io.CopyN(out, in, piece); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("add model: %w", err)
		}
		tell(min(1, float64(done+piece)/float64(info.Size())))
	}
	return out.Sync()
}

// requantize writes a model anew with weights of another type.
func (a *actions) requantize(ctx context.Context, action rmp.ModelAction, tell func(rmp.Progress)) error {
	file, err := a.folder.inspect(action.Name)
	if err != nil {
		return err
	}
	kind := strings.ToUpper(action.Type)
	if !slices.Contains(llama.QuantizeTypes(), kind) {
		err := errors.New("requantize: that is no type of weights")
		return fail(rmp.CodeParameterInvalid, hint.New(err, "the types are: %s", strings.Join(llama.QuantizeTypes(), ", ")))
	}
	name := action.Name + "-" + strings.ToLower(kind)
	if err := a.vacant(name); err != nil {
		return err
	}
	return a.publish(filepath.Join(a.folder.added, name+extension), func(temp string) error {
		return a.library.Quantize(ctx, file.path, temp, llama.QuantizeOptions{Type: kind, Threads: a.threads, Progress: func(begun, total int) {
			tell(rmp.Progress{Part: float64(begun) / float64(max(total, 1)), Text: "writing " + name})
		}})
	})
}

// remove deletes a model that was added.
func (a *actions) remove(name string) error {
	if !validName(name) {
		return fail(rmp.CodeModelUnknown, a.folder.hintNames(errors.New("remove model: that is no name of a model")))
	}
	path := filepath.Join(a.folder.added, name+extension)
	err := os.Remove(path)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("remove model %s: it was not added here", name)
		return fail(rmp.CodeModelUnknown, hint.New(err, "the models of the machine itself lie in %s and stay", a.folder.path))
	}
	return err
}
