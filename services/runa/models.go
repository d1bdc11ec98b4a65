package runa

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"runa/services/rmp"
	"runa/services/splinter"
)

// Models is `runa models`: what can answer.
type Models struct {
	List       ModelsList       `cmd:"" default:"withargs" help:"List the models."`
	Add        ModelsAdd        `cmd:"" help:"Take a model file over from the import folder."`
	Requantize ModelsRequantize `cmd:"" help:"Make a smaller or faster copy of a model."`
	Remove     ModelsRemove     `cmd:"" help:"Delete a model that was added."`
	Load       ModelsLoad       `cmd:"" help:"Load a model now, so that the next question need not wait for it."`
	Unload     ModelsUnload     `cmd:"" help:"Give the loaded model's memory back."`
}

// Help adds what `runa models --help` shows below the usage.
func (Models) Help() string {
	return `Examples:
  runa models
  runa ask --model stories15m "Once upon a time"
  runa models add tiny.gguf
  runa models requantize tiny Q4_0
  runa models load tiny-q4_0
  runa models remove tiny

A file that cannot be used is listed with the reason. runa help models add says more of each.`
}

// ModelsList is `runa models list`.
type ModelsList struct{}

// Help adds what `runa models list --help` shows below the usage.
func (ModelsList) Help() string {
	return `Examples:
  runa models
  runa models list
  runa ask --model stories15m "Once upon a time"
  runa ask --lora poet "A poem about rain"

Models of the image lie in /data/models, those that were added in /data/splinfer/models.
A file that cannot be used is listed with the reason.`
}

func (ModelsList) run(ctx context.Context, e Environment) error {
	return e.withInference(ctx, func(ctx context.Context, model *inference, connection *splinter.Conn) error {
		models, err := model.models(ctx, connection)
		if err != nil {
			return err
		}
		return e.showModels(models)
	})
}

func (e Environment) showModels(models rmp.Models) error {
	if len(models.Models) == 0 {
		fmt.Fprintf(e.Out, "no model: copy one to %s, then: runa models add FILE\n", e.Import)
		return nil
	}
	table := tabwriter.NewWriter(e.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MODEL\tARCHITECTURE\tSIZE\tCONTEXT\tSTATE")
	for _, model := range models.Models {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", printable(model.Name), dash(printable(model.Architecture)),
			size(model.Bytes), contextOf(model), modelState(model, models.Default))
	}
	return table.Flush()
}

func contextOf(model rmp.Model) string {
	switch {
	case model.Recurrent:
		return "any" // what it remembers has one size
	case model.ContextTrain == 0:
		return "-"
	}
	return fmt.Sprintf("%d tokens", model.ContextTrain)
}

func modelState(model rmp.Model, standard string) string {
	var state []string
	switch {
	case model.Problem != "":
		state = append(state, "cannot be used: "+oneLine(model.Problem))
	case model.Loaded:
		state = append(state, "loaded")
	case model.Adapter:
		state = append(state, "an adapter, for --lora")
	default:
		state = append(state, "not loaded")
	}
	if model.EmbedsOnly {
		state = append(state, "makes vectors of text only")
	}
	if model.Recurrent {
		state = append(state, "recurrent")
	}
	if model.Name == standard {
		state = append(state, "the default")
	}
	return strings.Join(state, ", ")
}
