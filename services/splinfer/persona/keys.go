package persona

import "github.com/goccy/go-yaml/ast"

// A key is one key of the front matter: its name, what it means (this is its
// documentation) and how its value is read.
type key struct {
	name string
	doc  string
	read func(*parser, ast.Node)
}

// keys are all there are. Those that set a parameter have the name that a
// person looks for; each stands for the parameter of llama.cpp that its doc names.
var keys = []key{
	{"persona", "name by which it is asked for; default: the file's name without .md", func(p *parser, n ast.Node) {
		p.name(n, "persona", &p.persona.Name)
	}},
	{"temperature", "temp: how freely words are drawn, 0 (always the likeliest) to 100; 0.8 is usual", number("temp", 0, 100)},
	{"mirostat", "mirostat: 0 off, 1 or 2 its version, which keeps surprise even", integer("mirostat", 0, 2)},
	{"mirostat_tau", "mirostat-ent: how much surprise Mirostat aims for; 5 is usual", number("mirostat-ent", 0, 100)},
	{"mirostat_eta", "mirostat-lr: how fast Mirostat corrects itself; 0.1 is usual", number("mirostat-lr", 0, 1)},
	{"repeat_penalty", "repeat-penalty: how much repeated words are held back; 1 is off", number("repeat-penalty", 0.01, 100)},
	{"repeat_last_n", "repeat-last-n: how many tokens back that looks; 0 is off, -1 all", integer("repeat-last-n", -1, 1<<20)},
	{"tags", "words that say what it is for: [general, short]", func(p *parser, n ast.Node) {
		p.persona.Tags = p.names(n, "tag", MaxTags)
	}},
	{"access", "users who may use it: [anna, ben]; everybody if it is left out, nobody if it is []", func(p *parser, n ast.Node) {
		p.persona.Access = p.names(n, "user", MaxUsers)
	}},
	{"parameters", "any parameter of llama.cpp by its own name: {top-k: 40, stop: [\"User:\"]}", func(p *parser, n ast.Node) {
		p.parameters(n)
	}},
}

func number(parameter string, low, high float64) func(*parser, ast.Node) {
	return func(p *parser, n ast.Node) {
		if value, ok := p.number(n, low, high); ok {
			p.set(n, parameter, value)
		}
	}
}

func integer(parameter string, low, high int64) func(*parser, ast.Node) {
	return func(p *parser, n ast.Node) {
		if value, ok := p.integer(n, low, high); ok {
			p.set(n, parameter, value)
		}
	}
}
