package splinfer

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"runa/services/gguf/tiny"
	"runa/services/rmp"
	"runa/services/splinfer/hook"
)

// exchange sends a request and returns what it is answered with at last, and how
// many steps of progress were told before.
func exchange(t *testing.T, conn connection, schema uint16, payload, answer any) (report rmp.Report, steps int) {
	t.Helper()
	if err := conn.Send(t.Context(), request(t, schema, payload)); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := conn.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		switch frame.SchemaID {
		case rmp.SchemaProgress:
			steps++
			continue
		case rmp.SchemaErrorReport:
			err = frame.Unmarshal(&report)
		default:
			err = frame.Unmarshal(answer)
		}
		if err != nil {
			t.Fatal(err)
		}
		return report, steps
	}
}

// writeModel puts a model of random weights into a folder.
func writeModel(t *testing.T, path string, model func(io.Writer, uint64, ...tiny.Option) error) {
	t.Helper()
	var out bytes.Buffer
	if err := model(&out, 3); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTextsAreEmbeddedBesideAnswers(t *testing.T) {
	o := testOptions(t)
	if err := os.Symlink(environment(t, "RUNA_MODEL_MINILM"), filepath.Join(o.Models, "all-minilm.gguf")); err != nil {
		t.Fatal(err)
	}
	r := start(t, o)
	ended := make(chan answered, 1)
	writer := r.connect()
	go func() {
		ended <- ask(t, writer, rmp.Generate{Prompt: "Once", Parameters: map[string]any{"ignore-eos": true}})
	}()
	conn := r.connect()
	var e rmp.Embeddings
	texts := []string{"That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"}
	if report, _ := exchange(t, conn, rmp.SchemaEmbedRequest, rmp.EmbedRequest{Texts: texts}, &e); report.Code != "" || len(e.Vectors) != 4 || e.Model != "all-minilm" {
		t.Fatalf("got %+v, %d vectors", report, len(e.Vectors))
	}
	for i, want := range []float64{0.694, 0.943, 0.257} {
		var cosine float64
		for k := range e.Vectors[0] {
			cosine += float64(e.Vectors[0][k]) * float64(e.Vectors[i+1][k])
		}
		if math.Abs(cosine-want) > 0.01 {
			t.Errorf("%q: %.4f, want %.3f", texts[i+1], cosine, want)
		}
	}
	for name, c := range map[string]struct {
		request rmp.EmbedRequest
		code    string
	}{
		"nothing":       {rmp.EmbedRequest{}, rmp.CodeParameterInvalid},
		"too long":      {rmp.EmbedRequest{Texts: []string{"a", strings.Repeat("word ", 2000)}}, rmp.CodePromptTooLong},
		"no UTF-8":      {rmp.EmbedRequest{Texts: []string{"\xff"}}, rmp.CodeParameterInvalid},
		"unknown model": {rmp.EmbedRequest{Model: "none", Texts: texts}, rmp.CodeModelUnknown},
	} {
		if report, _ := exchange(t, conn, rmp.SchemaEmbedRequest, c.request, &e); report.Code != c.code {
			t.Errorf("%s: %+v", name, report)
		}
	}
	if a := <-ended; len(a.tokens) < 200 {
		t.Errorf("the answer beside it: %+v", a)
	}
	if a := ask(t, conn, rmp.Generate{Prompt: "Once", Model: "all-minilm"}); a.report.Code != rmp.CodeModelInvalid {
		t.Errorf("a model that embeds was asked to write: %+v", a.report)
	}
}

func TestModelsAreAddedRequantizedLoadedAndRemoved(t *testing.T) {
	o := tinyOptions(t, tiny.Llama)
	o.Added, o.Imports = filepath.Join(t.TempDir(), "models"), t.TempDir()
	writeModel(t, filepath.Join(o.Imports, "new.gguf"), tiny.RWKV7)
	if err := os.WriteFile(filepath.Join(o.Imports, "bad.gguf"), []byte("GGUF and nothing else"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, o)
	conn := r.connect()
	var list rmp.Models
	act := func(action, name, source, kind string) rmp.Report {
		report, _ := exchange(t, conn, rmp.SchemaModelAction, rmp.ModelAction{Action: action, Name: name, Source: source, Type: kind}, &list)
		return report
	}
	names := func() (all []string) {
		for _, m := range list.Models {
			all = append(all, m.Name)
		}
		return all
	}
	if report := act(rmp.ModelAdd, "", "new.gguf", ""); report.Code != "" || !slices.Equal(names(), []string{"tiny", "new"}) {
		t.Fatalf("add: %+v, %v", report, names())
	}
	if report := act(rmp.ModelRequantize, "tiny", "", "q4_0"); report.Code != "" || !slices.Equal(names(), []string{"tiny", "new", "tiny-q4_0"}) {
		t.Fatalf("requantize: %+v, %v", report, names())
	}
	for _, name := range []string{"new", "tiny-q4_0", "tiny"} {
		if report := act(rmp.ModelLoad, name, "", ""); report.Code != "" {
			t.Fatalf("load %s: %+v", name, report)
		}
		if i := slices.IndexFunc(list.Models, func(m rmp.Model) bool { return m.Loaded }); i < 0 || list.Models[i].Name != name {
			t.Errorf("after loading %s: %+v", name, list.Models)
		}
		if a := ask(t, conn, rmp.Generate{Model: name, Prompt: "Hello", Parameters: map[string]any{"n-predict": 3, "ignore-eos": true}}); len(a.tokens) != 3 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if report := act(rmp.ModelUnload, "", "", ""); report.Code != "" || slices.ContainsFunc(list.Models, func(m rmp.Model) bool { return m.Loaded }) {
		t.Errorf("unload: %+v, %+v", report, list.Models)
	}
	for what, c := range map[string]struct {
		action, name, source, kind, code string
	}{
		"a damaged file":       {rmp.ModelAdd, "", "bad.gguf", "", rmp.CodeModelInvalid},
		"a file that is not":   {rmp.ModelAdd, "", "none.gguf", "", rmp.CodeModelUnknown},
		"a file elsewhere":     {rmp.ModelAdd, "", "../new.gguf", "", rmp.CodeParameterInvalid},
		"a name that is taken": {rmp.ModelAdd, "tiny", "new.gguf", "", rmp.CodeParameterInvalid},
		"a name elsewhere":     {rmp.ModelAdd, "../x", "new.gguf", "", rmp.CodeParameterInvalid},
		"an unknown type":      {rmp.ModelRequantize, "tiny", "", "q99", rmp.CodeParameterInvalid},
		"an unknown model":     {rmp.ModelRequantize, "none", "", "q4_0", rmp.CodeModelUnknown},
		"the machine's own":    {rmp.ModelRemove, "tiny", "", "", rmp.CodeModelUnknown},
		"an unknown action":    {"eat", "tiny", "", "", rmp.CodeParameterInvalid},
		"loading none":         {rmp.ModelLoad, "none", "", "", rmp.CodeModelUnknown},
	} {
		if report := act(c.action, c.name, c.source, c.kind); report.Code != c.code {
			t.Errorf("%s: %+v", what, report)
		}
	}
	if report := act(rmp.ModelRemove, "new", "", ""); report.Code != "" || !slices.Equal(names(), []string{"tiny", "tiny-q4_0"}) {
		t.Errorf("remove: %+v, %v", report, names())
	}
	if left, err := filepath.Glob(filepath.Join(o.Added, "*.temp*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAnAdapterChangesWhatIsSaidAndOnlyThen(t *testing.T) {
	o := tinyOptions(t, tiny.Llama)
	writeModel(t, filepath.Join(o.Models, "style.gguf"), tiny.Adapter)
	conn := start(t, o).connect()
	plain, with := say("", "Hello", 12), say("", "Hello", 12)
	with.Parameters["lora"] = []string{"style=8"}
	first, styled, again := ask(t, conn, plain), ask(t, conn, with), ask(t, conn, plain)
	if len(styled.tokens) != 12 || slices.Equal(ids(first.tokens), ids(styled.tokens)) || !slices.Equal(ids(first.tokens), ids(again.tokens)) {
		t.Errorf("got %v, %v %+v, %v", ids(first.tokens), ids(styled.tokens), styled.report, ids(again.tokens))
	}
}

func TestAPersonaStandsFirstAndShapesTheAnswer(t *testing.T) {
	o := testOptions(t)
	o.Personas = t.TempDir()
	for name, text := range map[string]string{
		"short.md": "---\npersona: short\nparameters: {n-predict: 2}\n---\nAnswer in short words.\n",
		"anna.md":  "---\naccess: [anna]\n---\nHello.\n",
		"bad.md":   "---\npersona: bad\ntemperature: hot\n---\nx\n",
	} {
		if err := os.WriteFile(filepath.Join(o.Personas, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conn := start(t, o).connect()
	if a := ask(t, conn, rmp.Generate{Persona: "short", Prompt: "Once upon a time"}); len(a.tokens) != 2 {
		t.Errorf("its parameters: %+v", a)
	}
	if a := ask(t, conn, rmp.Generate{Persona: "short", Prompt: "Once", Parameters: map[string]any{"n-predict": 3}}); len(a.tokens) != 3 {
		t.Errorf("the request's own go before them: %+v", a)
	}
	if a := ask(t, conn, rmp.Generate{Persona: "anna", Prompt: "Once"}); a.report.Code != rmp.CodePersonaUnknown || len(a.tokens) > 0 {
		t.Errorf("one that is for somebody: %+v", a.report)
	}
	if a := ask(t, conn, rmp.Generate{Persona: "bad", Prompt: "Once"}); a.report.Code != rmp.CodePersonaUnknown || !strings.Contains(a.report.Hint, "short") {
		t.Errorf("one that is not there: %+v", a.report)
	}
}

func TestTheHooksVerdictsAreDone(t *testing.T) {
	o := tinyOptions(t, tiny.Llama)
	later := make(chan hook.Verdict, 1)
	script := map[int]hook.Verdict{
		1: {Action: hook.Mask, Mask: 70},
		2: {Action: hook.BiasNext, Bias: []hook.Bias{{Token: 80, Bias: 1000}}},
		4: {Action: hook.Whisper, Text: "be kind"},
		5: {Action: hook.Hold},
		7: {Action: hook.Stop, Text: "No more of that."},
	}
	o.Hook = scripted{script, later}
	r := start(t, o)
	conn := r.connect()
	later <- hook.Verdict{}
	a := ask(t, conn, say("a", "Hello", 20))
	if len(a.tokens) != 7 || a.tokens[1].ID != 70 || a.tokens[3].ID != 80 || a.done.Reason != rmp.ReasonHook {
		t.Fatalf("got %v, %+v %+v", ids(a.tokens), a.done, a.report)
	}
	if len(a.notices) != 1 || a.notices[0] != (rmp.Notice{Code: rmp.NoticeRefusal, Text: "No more of that."}) {
		t.Errorf("it was told %+v", a.notices)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	// What was whispered is part of the conversation that is read again.
	states, _ := filepath.Glob(filepath.Join(o.Conversations, "*.state"))
	for _, path := range states {
		os.Remove(path)
	}
	o.Hook = nil
	conn = start(t, o).connect()
	if b := ask(t, conn, say("a", "Go on", 3)); len(b.tokens) != 3 || b.done.PromptTokens < a.done.PromptTokens+7+5+uint32(len("be kind"))-1 {
		t.Errorf("gone on with: %+v after %+v", b.done, a.done)
	}
}

// scripted is a hook with a verdict for each token, and one that comes later.
type scripted struct {
	verdicts map[int]hook.Verdict
	later    chan hook.Verdict
}

func (s scripted) Begin(hook.Answer) (hook.Session, hook.Verdict, error) {
	return s, hook.Verdict{}, nil
}

func (s scripted) Judge(t hook.Token) (hook.Verdict, bool) { return s.verdicts[t.Index], true }
func (s scripted) Later() <-chan hook.Verdict              { return s.later }
func (s scripted) End(string)                              {}

func TestAHookThatIsGoneLetsNothingThrough(t *testing.T) {
	o := tinyOptions(t, tiny.Llama)
	later := make(chan hook.Verdict)
	close(later)
	o.Hook = scripted{map[int]hook.Verdict{3: {Action: hook.Hold}}, later}
	conn := start(t, o).connect()
	a := ask(t, conn, say("a", "Hello", 20))
	if len(a.tokens) != 3 || a.report.Code != rmp.CodeHookFailed || a.report.Hint == "" {
		t.Errorf("got %+v", a)
	}
}

func TestARefusedRequestLeavesNothingInAConversation(t *testing.T) {
	o := tinyOptions(t, tiny.Llama)
	refuse := false
	o.Hook = refusing{&refuse}
	r := start(t, o)
	conn := r.connect()
	bad := say("a", "Hello", 5)
	bad.Parameters["logit-bias"] = []string{"999999+1"}
	tooMuch := say("a", strings.Repeat("too much ", 500), 5)
	for name, g := range map[string]rmp.Generate{
		"a bad sampler": bad, "a long prompt": tooMuch, "nothing to go on with": {Conversation: "a"},
		"an unknown persona": {Conversation: "a", Prompt: "Hello", Persona: "none"},
	} {
		if a := ask(t, conn, g); a.report.Code == "" || a.report.Code == rmp.CodeInternal {
			t.Errorf("%s: %+v", name, a)
		}
		if list := conversations(t, conn); len(list) != 0 {
			t.Errorf("%s left %+v", name, list)
		}
	}
	first := ask(t, conn, say("a", "Hello", 5))
	refuse = true
	refused := ask(t, conn, say("a", "A word that may not be said", 5))
	if refused.done.Reason != rmp.ReasonHook || len(refused.notices) != 1 || len(refused.tokens) != 0 {
		t.Errorf("a prompt that the hook refuses: %+v", refused)
	}
	refuse = false
	if a := ask(t, conn, bad); a.report.Code != rmp.CodeParameterInvalid {
		t.Errorf("a bad sampler later: %+v", a)
	}
	second := ask(t, conn, say("a", "Go on", 5))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	o.Conversations = t.TempDir()
	conn = start(t, o).connect()
	ask(t, conn, say("a", "Hello", 5))
	plain := ask(t, conn, say("a", "Go on", 5))
	if len(first.tokens) != 5 || !slices.Equal(ids(second.tokens), ids(plain.tokens)) || second.done.PromptTokens != plain.done.PromptTokens {
		t.Errorf("after what was refused: %+v; without it %+v", second.done, plain.done)
	}
}

// refusing is a hook that refuses prompts while it is told to.
type refusing struct{ refuse *bool }

func (r refusing) Begin(a hook.Answer) (hook.Session, hook.Verdict, error) {
	session, v, err := hook.Empty().Begin(a)
	if *r.refuse {
		v = hook.Verdict{Action: hook.Stop, Text: "Not that."}
	}
	return session, v, err
}

func TestSpeedsAndCountsAreTold(t *testing.T) {
	o := tinyOptions(t, tiny.Llama)
	conn := start(t, o).connect()
	if a := ask(t, conn, say("a", "Hello", 20)); len(a.tokens) != 20 {
		t.Fatalf("got %+v", a)
	}
	var s rmp.Stats
	if report, _ := exchange(t, conn, rmp.SchemaStatsRequest, rmp.StatsRequest{}, &s); report.Code != "" {
		t.Fatal(report)
	}
	if s.Tokens != 20 || s.TokensPerSecond <= 0 || s.PrefillPerSecond <= 0 || s.Conversations != 1 || s.Answering != 0 || s.Waiting != 0 {
		t.Errorf("got %+v", s)
	}
}
