package runa

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"runa/services/hint"
	"runa/services/rmp"
)

// Ask is `runa ask`: one question, one answer on standard output.
type Ask struct {
	Question []string `arg:"" optional:"" help:"The question; read from standard input if there is none or it is -."`
	Model    string   `help:"Name of the model; the default is the service's." placeholder:"NAME"`
	Raw      bool     `help:"Give the text to the model as it is and continue it, without the model's chat template."`
	Sampling
}

// Help adds what `runa ask --help` shows below the usage.
func (Ask) Help() string {
	return `Examples:
  runa ask "Why is the sky blue?"
  runa ask --temp 0 --n-predict 24 --raw "Once upon a time"
  cat letter.txt | runa ask
  runa ask --seed 7 "Tell me a story" > story.txt

The answer alone goes to standard output; exit status 1 means that there is none or only a part of it.`
}

func (a Ask) run(ctx context.Context, e Environment) error {
	question, err := a.question(e.In)
	if err != nil {
		return err
	}
	request := rmp.Generate{Model: a.Model, Parameters: a.parameters()}
	if a.Raw {
		request.Prompt = question
	} else {
		request.Messages = []rmp.Message{{Role: "user", Content: question}}
	}
	ctx, cancel := e.interruptible(ctx)
	defer cancel()
	return e.inference(ctx, func(model *inference) error {
		connection, err := model.dial(ctx, e.Patience, e.waitingNote())
		if err != nil {
			return err
		}
		defer connection.Close()
		shown := newAnswer(e)
		_, err = model.generate(ctx, connection, request, shown.word)
		shown.end()
		if errors.Is(err, errModelStopped) {
			fmt.Fprintln(e.Err, err)
			return errSaid
		}
		return err
	})
}

// question returns the arguments joined, or all of standard input.
func (a Ask) question(in io.Reader) (string, error) {
	question := strings.Join(a.Question, " ")
	if question == "" || question == "-" {
		content, err := io.ReadAll(in)
		if err != nil {
			return "", fmt.Errorf("read the question from standard input: %w", err)
		}
		question = strings.TrimRight(string(content), "\r\n")
	}
	if strings.TrimSpace(question) == "" {
		return "", hint.New(errors.New("the question is empty"), `try: runa ask "Why is the sky blue?"`)
	}
	return question, nil
}
