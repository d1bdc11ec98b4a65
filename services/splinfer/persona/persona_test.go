package persona

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"runa/services/hint"
)

const whole = `---
persona: analyst            # asked for by this name
temperature: 0.65
mirostat: 2
mirostat_tau: 4
mirostat_eta: 0.2
repeat_penalty: 1.15
repeat_last_n: 128
tags: [work, numbers]
access: [anna, ben_2]
parameters:
  top-k: 30
  ignore-eos: true
  stop: ["User:", "\n\n"]
  grammar: |
    root ::= "yes" | "no"
---

You read figures.
  Say what they mean.

---
This line is prompt too.

`

func TestAWholePersonaIsRead(t *testing.T) {
	got, err := Parse("dir/any.md", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := Persona{
		Name: "analyst", File: "dir/any.md", Tags: []string{"work", "numbers"}, Access: []string{"anna", "ben_2"},
		Prompt: "You read figures.\n  Say what they mean.\n\n---\nThis line is prompt too.",
		Parameters: map[string]any{
			"temp": 0.65, "mirostat": int64(2), "mirostat-ent": 4.0, "mirostat-lr": 0.2, "repeat-penalty": 1.15, "repeat-last-n": int64(128),
			"top-k": int64(30), "ignore-eos": true, "stop": []string{"User:", "\n\n"}, "grammar": "root ::= \"yes\" | \"no\"\n",
		},
		places: got.places,
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

func TestAPromptIsEnoughAndTheFileGivesTheName(t *testing.T) {
	for name, text := range map[string]string{
		"nothing between the lines":  "---\n---\nHello.\n",
		"a comment alone":            "---\n# nothing\n---\nHello.\n",
		"lines as Windows ends them": "\ufeff---\r\n---\r\nHello.\r\n",
	} {
		got, err := Parse("/x/plain.md", []byte(text))
		if err != nil || got.Name != "plain" || got.Prompt != "Hello." || len(got.Parameters) != 0 || !got.Allows("anybody") {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestAccessIsForThoseWhoAreNamed(t *testing.T) {
	for access, want := range map[string]bool{"": true, "access: [anna]\n": true, "access: [ben]\n": false, "access: []\n": false} {
		p, err := Parse("a.md", []byte("---\n"+access+"---\nHello.\n"))
		if err != nil || p.Allows("anna") != want {
			t.Errorf("%q: allows anna %v, %v", access, p.Allows("anna"), err)
		}
	}
}

func TestEveryMistakeIsToldWithItsPlace(t *testing.T) {
	for _, c := range []struct{ name, text, want, advice string }{
		{"unknown key", "---\ntags: []\n\ntemprature: 1\n---\nHi\n", `a.md:4:1: unknown key "temprature" (known: access, mirostat, mirostat_eta, mirostat_tau, parameters, persona, repeat_last_n, repeat_penalty, tags, temperature)`, `did you mean "temperature"?`},
		{"a parameter at the top", "---\ntop-k: 1\n---\nHi\n", `a.md:2:1: unknown key "top-k"`, "parameters of llama.cpp stand below parameters:"},
		{"unknown in a flow mapping", "---\n{tags: [], tag: []}\n---\nHi\n", `a.md:2:12: unknown key "tag"`, `did you mean "tags"?`},
		{"twice", "---\nmirostat: 1\nmirostat: 2\n---\nHi\n", `a.md:3:1: key "mirostat" is there twice, first on line 2`, "keep one of the two"},
		{"twice by two names", "---\ntemperature: 1\nparameters: {temp: 2}\n---\nHi\n", `a.md:3:14: parameter temp is there twice, first on line 2`, "keep one of the two"},
		{"empty", "", `a.md:1:1: the file is empty`, "begin with a line ---, then keys such as temperature: 0.7, a line --- again, then the prompt"},
		{"no front matter", "You are kind.\n", `a.md:1:1: the file does not begin with its front matter`, "begin with a line ---, then keys such as temperature: 0.7, a line --- again, then the prompt"},
		{"no end", "---\ntags: []\n", `a.md:1:1: the front matter has no end`, "begin with a line ---, then keys such as temperature: 0.7, a line --- again, then the prompt"},
		{"no prompt", "---\ntags: []\n---\n \n\n", `a.md:4:1: there is no prompt`, "say below the second --- who answers, such as: You are a helpful assistant."},
		{"a bell in the prompt", "---\n---\nHi\nyou é\a\n", `a.md:4:6: the prompt holds the character U+0007, which is no text`, "take it out"},
		{"not text", "---\n---\n\xff\n", `a.md:1:1: this is not text in UTF-8`, ""},
		{"too large", strings.Repeat("x", MaxBytes+1), `a.md:1:1: the file has more than 65536 bytes`, ""},
		{"front matter too large", "---\n" + strings.Repeat("#\n", MaxFrontMatter/2) + "---\nHi\n", `a.md:1:1: the front matter has 16385 bytes, at most 16384 are read`, "put text into the prompt, below the second ---"},
		{"prompt too large", "---\n---\n" + strings.Repeat("x", MaxPrompt+1), `a.md:3:1: the prompt has 32769 bytes, at most 32768 are read`, "shorten it"},
		{"too deep", "---\ntags: " + strings.Repeat("[", 5000) + "\n---\nHi\n", `a.md:2:1: lists and mappings stand in each other more than 64 deep`, ""},
		{"a list", "---\n- a\n---\nHi\n", `a.md:2:1: the front matter must be a mapping, not a list`, "write key: value lines"},
		{"no YAML", "---\ntags: [\n---\nHi\n", `a.md:2:7: this is not YAML: `, ""},
		{"anchor", "---\ntags: &a [x]\n---\nHi\n", `a.md:2:7: a list expected, not an anchor or alias`, "write [a, b], or [] for none"},
		{"temperature as text", "---\ntemperature: warm\n---\nHi\n", `a.md:2:14: a number expected, not text`, ""},
		{"temperature with a comma", "---\ntemperature: 0,7\n---\nHi\n", `a.md:2:14: a number expected, not text`, "write the decimal point as ."},
		{"temperature too high", "---\ntemperature: 101\n---\nHi\n", `a.md:2:14: 101 is not between 0 and 100`, ""},
		{"temperature without end", "---\ntemperature: .inf\n---\nHi\n", `a.md:2:14: .inf is not between 0 and 100`, ""},
		{"mirostat that is not there", "---\nmirostat: 3\n---\nHi\n", `a.md:2:11: 3 is not between 0 and 2`, ""},
		{"mirostat in part", "---\nmirostat: 1.5\n---\nHi\n", `a.md:2:11: a whole number expected, not a number`, ""},
		{"a huge number", "---\nrepeat_last_n: 99999999999999999999\n---\nHi\n", `a.md:2:16: `, ""},
		{"a name with a space", "---\npersona: Plain Helper\n---\nHi\n", `a.md:2:10: "Plain Helper" cannot be the name of a persona: small letters, digits, - and _, at most 64`, "write plain-helper"},
		{"a name that is a path", "---\npersona: ../x\n---\nHi\n", `a.md:2:10: "../x" cannot be the name of a persona`, ""},
		{"a user twice", "---\naccess: [anna, anna]\n---\nHi\n", `a.md:2:16: anna is there twice`, "take it out"},
		{"access as text", "---\naccess: anna\n---\nHi\n", `a.md:2:9: a list expected, not text`, "write [a, b], or [] for none"},
		{"tags with a number", "---\ntags: [1]\n---\nHi\n", `a.md:2:8: a name expected, not a number`, ""},
		{"parameters as a list", "---\nparameters: [top-k]\n---\nHi\n", `a.md:2:13: parameters must be a mapping, not a list`, "write {top-k: 40}, or a line for each"},
		{"a parameter as in the API", "---\nparameters: {top_k: 1}\n---\nHi\n", `a.md:2:14: "top_k" cannot be the name of a parameter`, `did you mean "top-k"?`},
		{"a parameter as an option", "---\nparameters:\n  --top-k: 1\n---\nHi\n", `a.md:3:3: "--top-k" cannot be the name of a parameter`, `did you mean "top-k"?`},
		{"a parameter of nothing", "---\nparameters: {top-k: }\n---\nHi\n", `a.md:2:`, ""},
		{"a parameter that is a mapping", "---\nparameters:\n  logit-bias: {a: 1}\n---\nHi\n", `a.md:3:15: a number, true or false, text or a list of texts expected, not a mapping`, ""},
		{"a stop that is a number", "---\nparameters: {stop: [1]}\n---\nHi\n", `a.md:2:21: text expected, not a number`, "put it in quotes if it is meant as text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse("a.md", []byte(c.text))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Fatalf("got %v\nwant %s", err, c.want)
			}
			if advice := hint.Of(err); advice != c.advice {
				t.Errorf("hint %q, want %q", advice, c.advice)
			}
			if !reflect.DeepEqual(got, Persona{}) {
				t.Errorf("a bad file gives %+v", got)
			}
		})
	}
}

func TestManyMistakesAreCounted(t *testing.T) {
	_, err := Parse("a.md", []byte("---\n"+strings.Repeat("x: 1\n", 30)+"---\nHi\n"))
	if lines := strings.Split(err.Error(), "\n"); len(lines) != maxMistakes+1 || lines[maxMistakes] != "a.md:21:1: and 10 more mistakes" {
		t.Errorf("got %d lines, last %q", len(lines), lines[len(lines)-1])
	}
}

func TestAFileWithoutAUsableNameSaysSo(t *testing.T) {
	if _, err := Parse("My Persona.md", []byte("---\n---\nHi\n")); err == nil || !strings.Contains(err.Error(), `1:1: "My Persona" cannot be the name`) {
		t.Errorf("got %v", err)
	}
	if p, err := Parse("My Persona.md", []byte("---\npersona: mine\n---\nHi\n")); err != nil || p.Name != "mine" {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestAParameterThatTheEngineRefusesIsToldWithItsPlace(t *testing.T) {
	p, err := Parse("a.md", []byte("---\nparameters: {top-k: 40, topp: 0.9}\ntemperature: 3\n---\nHi\n"))
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	cause := errors.New("parameter is unknown")
	err = p.Verify(func(name string, value any) error {
		asked = append(asked, fmt.Sprint(name, "=", value))
		if name == "topp" {
			return hint.New(cause, "did you mean top-p?")
		}
		return nil
	})
	if err == nil || err.Error() != "a.md:2:25: parameter is unknown" || hint.Of(err) != "did you mean top-p?" || !errors.Is(err, cause) {
		t.Errorf("got %v, hint %q", err, hint.Of(err))
	}
	if want := []string{"top-k=40", "topp=0.9", "temp=3"}; !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
}

func TestABadFileNeverHidesAGoodOne(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.md": "---\n---\nHi\n", "b.md": "---\nx: 1\n---\n", "c.md": "---\npersona: a\n---\nHi\n",
		"d.md": "---\n---\nHo\n", "notes.txt": "no persona",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "e.md"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "f.md")); err != nil {
		t.Fatal(err)
	}
	personas, errs := Load(dir)
	var names []string
	for _, p := range personas {
		names = append(names, p.Name+" "+p.Prompt)
	}
	if want := []string{"a Hi", "d Ho"}; !reflect.DeepEqual(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	wants := []string{
		"b.md:2:1: unknown key", "c.md:1:1: the persona a is there twice, first in " + dir + "/a.md",
		"e.md:1:1: this is not a regular file", "f.md: no such file",
	}
	if len(errs) != len(wants) {
		t.Fatalf("got %d errors: %v", len(errs), errs)
	}
	for i, want := range wants {
		if !strings.Contains(errs[i].Error(), want) {
			t.Errorf("error %d: got %v, want %s", i, errs[i], want)
		}
	}
}

func TestAFolderOfGarbageStaysShort(t *testing.T) {
	dir := t.TempDir()
	for i := range maxErrors + 7 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.md", i)), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "zzz.md"), []byte("---\n---\nHi\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	personas, errs := Load(dir)
	if len(personas) != 1 || len(errs) != maxErrors+1 || !strings.HasSuffix(errs[maxErrors].Error(), "and 7 more files with mistakes") {
		t.Errorf("%d personas, %d errors, last %v", len(personas), len(errs), errs[len(errs)-1])
	}
}

func TestAMissingFolderIsToldApart(t *testing.T) {
	if _, errs := Load(filepath.Join(t.TempDir(), "none")); len(errs) != 1 || !errors.Is(errs[0], fs.ErrNotExist) {
		t.Errorf("got %v", errs)
	}
}

func TestThePersonasOfTheImageAreGoodAndShort(t *testing.T) {
	personas, errs := Load("../../../overlays/base/usr/share/runa/personas")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var names []string
	for _, p := range personas {
		names = append(names, p.Name)
		if p.Name+".md" != filepath.Base(p.File) || len(p.Prompt) > 500 || len(p.Tags) == 0 {
			t.Errorf("%s: persona %s, %d bytes of prompt, tags %v", p.File, p.Name, len(p.Prompt), p.Tags)
		}
	}
	if want := []string{"gentle", "plain-helper", "short-and-direct"}; !reflect.DeepEqual(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("---\ntags: [a, {b: c}]\naccess: &x []\n---\nHi"))
	f.Add([]byte("---\n? [a]\n: - - b\n---\r\nHi\n"))
	f.Add([]byte("\ufeff---\nparameters: {a: !!int 3, b: *x}\n---\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse("a.md", text)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "a.md:") {
					t.Fatalf("an error without its place: %q", line)
				}
			}
			return
		}
		if p.Prompt == "" || !validName.MatchString(p.Name) || len(p.Prompt) > MaxPrompt {
			t.Fatalf("accepted %+v", p)
		}
	})
}
