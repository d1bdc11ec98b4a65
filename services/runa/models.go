package runa

import (
	"context"
	"fmt"
	"text/tabwriter"

	"runa/services/rmp"
)

// Models is `runa models`: what can answer.
type Models struct{}

// Help adds what `runa models --help` shows below the usage.
func (Models) Help() string {
	return `Examples:
  runa models
  runa ask --model stories15m "Once upon a time"

A model is a file /data/models/NAME.gguf. A file that cannot be used is listed with the reason.`
}

func (Models) run(ctx context.Context, e Environment) error {
	ctx, cancel := e.interruptible(ctx)
	defer cancel()
	return e.inference(ctx, func(model *inference) error {
		connection, err := model.dial(ctx, e.Patience, e.waitingNote())
		if err != nil {
			return err
		}
		defer connection.Close()
		models, err := model.models(ctx, connection)
		if err != nil {
			return err
		}
		return e.showModels(models)
	})
}

func (e Environment) showModels(models rmp.Models) error {
	if len(models.Models) == 0 {
		fmt.Fprintln(e.Out, "no model: put one at /data/models/NAME.gguf")
		return nil
	}
	table := tabwriter.NewWriter(e.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MODEL\tARCHITECTURE\tSIZE\tCONTEXT\tSTATE")
	for _, model := range models.Models {
		context := "-"
		if model.ContextTrain > 0 {
			context = fmt.Sprintf("%d tokens", model.ContextTrain)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", model.Name, dash(model.Architecture),
			size(model.Bytes), context, modelState(model, models.Default))
	}
	return table.Flush()
}

func modelState(model rmp.Model, standard string) string {
	state := "not loaded"
	switch {
	case model.Problem != "":
		state = "cannot be used: " + model.Problem
	case model.Loaded:
		state = "loaded"
	}
	if model.Name == standard {
		state += ", the default"
	}
	return state
}
