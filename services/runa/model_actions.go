package runa

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinter"
)

// modelExtension is what the name of a model file ends in.
const modelExtension = ".gguf"

// ModelsAdd is `runa models add`.
type ModelsAdd struct {
	File string `arg:"" help:"A GGUF file in /data/import."`
	Name string `help:"Name to give it; the file's own if not given." placeholder:"NAME"`
}

// Help adds what `runa models add --help` shows below the usage.
func (ModelsAdd) Help() string {
	return `Examples:
  runa models add tiny.gguf
  runa models add /data/import/tiny.gguf --name story-teller
  rm /data/import/tiny.gguf

The file is checked and copied, so you may remove it from /data/import afterwards. One that
cannot be used is refused with the reason, and nothing is kept of it. A LoRA adapter is added in
the same way.`
}

func (a ModelsAdd) run(ctx context.Context, e Environment) error {
	source, err := a.source(e.Import)
	if err != nil {
		return fmt.Errorf("add %s: %w", oneLine(a.File), err)
	}
	name := a.Name
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(source), modelExtension)
	}
	action := rmp.ModelAction{Action: rmp.ModelAdd, Name: a.Name, Source: source}
	models, err := e.changeModels(ctx, action)
	if err != nil {
		return attempted("add "+source, err)
	}
	return e.tellAdded(models, name)
}

// source returns the file's name in the import folder. A bare name means the
// file there, wherever one types it.
func (a ModelsAdd) source(folder string) (string, error) {
	path := a.File
	if !strings.Contains(path, "/") {
		if _, err := os.Stat(filepath.Join(folder, path)); err == nil {
			return path, nil
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return "", hint.New(errors.New("there is no such file"), "ls %s shows what can be added", folder)
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", hint.New(fmt.Errorf("%s is not a file", path), "name a file that ends in %s", modelExtension)
	}
	if within, err := filepath.Rel(folder, path); err == nil && filepath.IsLocal(within) && !strings.Contains(within, "/") {
		return within, nil
	}
	return "", hint.New(fmt.Errorf("a model is added from %s only, and this one lies in %s", folder, filepath.Dir(path)),
		"cp %s %s/ && runa models add %s", quoteForShell(path), folder, quoteForShell(filepath.Base(path)))
}

// quoteForShell leaves a plain name as it is and puts any other in quotes.
func quoteForShell(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:=@%", r)
	}
	if strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(printable(word), "'", `'\''`) + "'"
}

// ModelsRequantize is `runa models requantize`.
type ModelsRequantize struct {
	Name string `arg:"" help:"Name of the model; runa models lists them."`
	Type string `arg:"" help:"How its numbers are written: Q4_0, Q8_0, ...; llama.cpp's names."`
}

// Help adds what `runa models requantize --help` shows below the usage.
func (ModelsRequantize) Help() string {
	return `Examples:
  runa models requantize tinyllama-1.1b-chat Q4_0
  runa models requantize tinyllama-1.1b-chat Q8_0
  runa ask --model tinyllama-1.1b-chat-q4_0 "Why is the sky blue?"

It writes the model anew, as NAME-TYPE, and leaves the one it is made of. Q4_0 answers fastest on
most processors, Q8_0 and Q6_K lose least. What was lost before does not come back. While it works,
conversations answer more slowly.`
}

func (r ModelsRequantize) run(ctx context.Context, e Environment) error {
	models, err := e.changeModels(ctx, rmp.ModelAction{Action: rmp.ModelRequantize, Name: r.Name, Type: r.Type})
	if err != nil {
		return attempted("requantize "+r.Name, err)
	}
	return e.tellAdded(models, r.Name+"-"+r.Type)
}

// tellAdded says under which name a model is there now. Big and small letters of a
// type are the same to llama.cpp.
func (e Environment) tellAdded(models rmp.Models, name string) error {
	i := slices.IndexFunc(models.Models, func(m rmp.Model) bool { return strings.EqualFold(m.Name, name) })
	if i < 0 {
		_, err := fmt.Fprintln(e.Out, "done; runa models lists it")
		return err
	}
	model := models.Models[i]
	line := fmt.Sprintf("%s is there now, %s; try: runa chat --model %s", printable(model.Name), size(model.Bytes), quoteForShell(model.Name))
	switch {
	case model.Problem != "":
		line = fmt.Sprintf("%s is there now, but cannot be used: %s", printable(model.Name), oneLine(model.Problem))
	case model.Adapter:
		line = fmt.Sprintf("%s is there now, %s, an adapter; try: runa chat --lora %s", printable(model.Name), size(model.Bytes), quoteForShell(model.Name))
	case model.EmbedsOnly:
		line = fmt.Sprintf("%s is there now, %s; it makes vectors of text and cannot chat", printable(model.Name), size(model.Bytes))
	}
	_, err := fmt.Fprintln(e.Out, line)
	return err
}

// ModelsRemove is `runa models remove`.
type ModelsRemove struct {
	Name string `arg:"" help:"Name of the model; runa models lists them."`
}

// Help adds what `runa models remove --help` shows below the usage.
func (ModelsRemove) Help() string {
	return `Examples:
  runa models remove tiny

Only a model that was added or requantized can be removed, and it can't be brought back.`
}

func (r ModelsRemove) run(ctx context.Context, e Environment) error {
	return e.simpleAction(ctx, rmp.ModelAction{Action: rmp.ModelRemove, Name: r.Name}, "%s is removed\n", oneLine(r.Name))
}

// ModelsLoad is `runa models load`.
type ModelsLoad struct {
	Name string `arg:"" help:"Name of the model; runa models lists them."`
}

// Help adds what `runa models load --help` shows below the usage.
func (ModelsLoad) Help() string {
	return `Examples:
  runa models load stories15m

One model that chats is loaded at a time; the one before gives its memory back. A question that
names a model loads it too.`
}

func (l ModelsLoad) run(ctx context.Context, e Environment) error {
	return e.simpleAction(ctx, rmp.ModelAction{Action: rmp.ModelLoad, Name: l.Name}, "%s is loaded\n", oneLine(l.Name))
}

// ModelsUnload is `runa models unload`.
type ModelsUnload struct{}

// Help adds what `runa models unload --help` shows below the usage.
func (ModelsUnload) Help() string {
	return `Examples:
  runa models unload

The next question loads a model again, which takes a moment.`
}

func (ModelsUnload) run(ctx context.Context, e Environment) error {
	return e.simpleAction(ctx, rmp.ModelAction{Action: rmp.ModelUnload}, "no model is loaded now; the next question loads one\n")
}

func (e Environment) simpleAction(ctx context.Context, action rmp.ModelAction, format string, args ...any) error {
	if _, err := e.changeModels(ctx, action); err != nil {
		return attempted(strings.TrimSpace(action.Action+" "+action.Name), err)
	}
	_, err := fmt.Fprintf(e.Out, format, args...)
	return err
}

// errActionStopped is errModelStopped for an action.
var errActionStopped = errors.New("the model service stopped in the middle of it and is being restarted; try again")

// changeModels asks for an action, shows how far it is, and returns the models
// that there are afterwards.
func (e Environment) changeModels(ctx context.Context, action rmp.ModelAction) (models rmp.Models, err error) {
	err = e.withInference(ctx, func(ctx context.Context, model *inference, connection *splinter.Conn) error {
		shown := progress{e: e}
		defer shown.end()
		return model.ask(ctx, connection, question{
			schema: rmp.SchemaModelAction, payload: action, wants: rmp.SchemaModels, progress: shown.update,
		}, &models)
	})
	if errors.Is(err, errModelStopped) {
		err = errActionStopped
	}
	return models, err
}
