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
	Persona  string   `help:"Who answers: a persona's name." placeholder:"NAME"`
	Priority string   `help:"background lets everybody else go before." enum:"person,background" default:"person" placeholder:"person|background"`
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
  runa ask --persona plain-helper "What is a noun?"
  runa ask --json-schema person.json "Who wrote Faust?"
  runa ask --stop . --n-probs 3 "The sky is"
  runa ask --priority background - < long.txt > answer.txt

The answer alone goes to standard output; exit status 1 means that there is none or only a
part of it. Nothing is kept of it; a conversation that is kept is runa chat.
What --json-schema and --grammar allow is all that the model can say, so ask for that.`
}

func (a Ask) run(ctx context.Context, e Environment) error {
	request, err := a.request(e.In)
	if err != nil {
		return err
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
		done, err := model.generate(ctx, connection, request, shown)
		whole := shown.finish(done)
		if errors.Is(err, errModelStopped) {
			fmt.Fprintln(e.Err, err)
			return errSaid
		}
		if err == nil && !whole {
			return errSaid
		}
		return err
	})
}

// request is what is sent for the question.
func (a Ask) request(in io.Reader) (rmp.Generate, error) {
	parameters, err := a.parameters()
	if err != nil {
		return rmp.Generate{}, err
	}
	question, err := a.question(in)
	if err != nil {
		return rmp.Generate{}, err
	}
	request := rmp.Generate{Model: a.Model, Persona: a.Persona, Parameters: parameters}
	if a.Priority != rmp.PriorityPerson {
		request.Priority = a.Priority
	}
	if a.Raw {
		request.Prompt = question
	} else {
		request.Messages = []rmp.Message{{Role: "user", Content: question}}
	}
	return request, nil
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
