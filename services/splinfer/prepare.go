package splinfer

import (
	"encoding/json"
	"errors"
	"fmt"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinfer/journal"
	"runa/services/splinfer/persona"
)

// prepared is a job that is read as far as no model is needed for it.
type prepared struct {
	talk    *talk // nil: it belongs to no conversation that is kept
	goOn    bool  // with the answer that was interrupted
	values  Values
	seed    uint32
	persona persona.Persona
	model   string
	lora    []string
}

// prepare reads a request: its conversation, persona, parameters and model.
func (e *engine) prepare(j *job) (p prepared, err error) {
	g := j.request
	if g.Conversation != "" {
		if p.talk, err = e.talks.get(g.Conversation); err != nil {
			return p, err
		}
		if _, known := e.personas[p.talk.last.Persona]; g.Persona == "" && known {
			g.Persona = p.talk.last.Persona
		}
	}
	if p.values, p.persona, err = e.parameters(g); err != nil {
		return p, err
	}
	p.seed = p.values.seed(e.o.Random())
	if p.talk != nil {
		if p.talk.turn != nil {
			err := fmt.Errorf("go on with conversation %s: another request does", g.Conversation)
			return p, fail(rmp.CodeConversationBusy, hint.New(err, "wait until that is answered"))
		}
		if p.goOn = len(g.Messages) == 0 && g.Prompt == ""; p.goOn {
			if err := p.recall(e.o.Defaults); err != nil {
				return p, err
			}
		}
	}
	p.lora = p.values.list("lora")
	p.model = g.Model
	if p.talk != nil && p.talk.last.Model != "" {
		own := modelName(p.talk.last.Model)
		if p.model != "" && p.model != own {
			err := fmt.Errorf("go on with conversation %s: it was begun with model %s", g.Conversation, own)
			return p, fail(rmp.CodeParameterInvalid, hint.New(err, "begin a new conversation for another model"))
		}
		p.model = own
	}
	if p.model == "" {
		p.model, err = e.folder.defaultName(e.o.Model)
		if err != nil && g.Conversation == "" {
			e.judge(err)
		}
	}
	return p, err
}

// recall takes the parameters of the answer that was interrupted.
func (p *prepared) recall(defaults Values) error {
	last := p.talk.last
	if p.talk.history.length == 0 {
		return talkFailure(fmt.Errorf("go on with conversation %s: %w", p.talk.id, journal.ErrNotFound))
	}
	if !last.unfinished {
		err := fmt.Errorf("go on with conversation %s: its last answer was not interrupted", p.talk.id)
		return fail(rmp.CodeParameterInvalid, hint.New(err, "send a message"))
	}
	var given map[string]any
	err := json.Unmarshal(last.Parameters, &given)
	if err == nil {
		p.values, err = defaults.With(given)
	}
	if err != nil {
		return fail(rmp.CodeConversationDamaged, fmt.Errorf("go on with conversation %s: the parameters in its journal can't be read", p.talk.id))
	}
	p.seed = uint32(last.Seed)
	return nil
}

// parameters are the request's over the persona's over the service's.
func (e *engine) parameters(g rmp.Generate) (Values, persona.Persona, error) {
	var who persona.Persona
	values := e.o.Defaults
	var err error
	if g.Persona != "" {
		var known bool
		if who, known = e.personas[g.Persona]; !known {
			return nil, who, fail(rmp.CodePersonaUnknown, e.hintPersonas())
		}
		if !who.Allows("") {
			err := fmt.Errorf("use persona %s: it is for certain users, and the bus does not tell who asks", who.Name)
			return nil, who, fail(rmp.CodePersonaUnknown, hint.New(err, "take the key access out of %s to let everybody use it", who.File))
		}
		if values, err = values.With(who.Parameters); err != nil {
			return nil, who, err
		}
	}
	if values, err = values.With(g.Parameters); err != nil {
		return nil, who, err
	}
	if g.Priority != "" && g.Priority != rmp.PriorityPerson && g.Priority != rmp.PriorityBackground {
		return nil, who, fail(rmp.CodeParameterInvalid, errors.New("read request: priority must be person or background"))
	}
	return values, who, values.check()
}
