package schema

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"runa/services/hint"
)

// written are grammars as people write them, with texts that they let through or not.
var written = []struct {
	name, gbnf string
	yes, no    []string
}{
	{"a word", `root ::= "yes" | "no"`, []string{"yes", "no"}, []string{"", "y", "yesno"}},
	{"comments and lines", "# choose\nroot ::= ( # one of\n  \"a\"\n  | b )\n\n\tb ::= \"b\" # the other\r\n", []string{"a", "b"}, []string{"ab"}},
	{"the alternative on the next line", "root ::= \"a\" |\n  \"b\"", []string{"a", "b"}, nil},
	{"escapes", `root ::= "\x41\u00e9\U0001F600\n\t\r\\\"\[\]\-"`, []string{"Aé\U0001f600\n\t\r\\\"[]-"}, nil},
	{"classes", `root ::= [a-cx-] [^0-9\]] .`, []string{"ax.", "-[\n", "cé0"}, []string{"d..", "a0.", "a]."}},
	{"repetitions", `root ::= "a"* "b"+ "c"? "d"{2} "e"{1,} "f"{0,2}`, []string{"bdde", "aabbcddeeff"}, []string{"dde", "bcddefff", "bde"}},
	{"an empty alternative", `root ::= "a" ( "b" | ) "c"`, []string{"abc", "ac"}, []string{"a"}},
	{"the rule that ends with itself", "root ::= \"a\" root | \"b\"", []string{"b", "aab"}, []string{"aa"}},
	{"arithmetic", "root ::= (expr \"=\" ws term \"\\n\")+\nexpr ::= term ([-+*/] term)*\nterm ::= ident | num | \"(\" ws expr \")\" ws\nident ::= [a-z] [a-z0-9_]* ws\nnum ::= [0-9]+ ws\nws ::= [ \\t\\n]*", []string{"(1+x)*2 = 6\n"}, []string{"1+=2\n"}},
	{"a list", "root ::= item+\nitem ::= \"- \" [^\\r\\n\\x0b\\x0c\\x85\\u2028\\u2029]+ \"\\n\"", []string{"- a\n- b c\n"}, []string{"- \n"}},
	{"chess", "root ::= [1-9] [0-9]? \". \" move \" \" move \"\\n\"\nmove ::= (pawn | nonpawn | castle) [+#]?\nnonpawn ::= [NBKQR] [a-h]? [1-8]? \"x\"? [a-h] [1-8]\npawn ::= ([a-h] \"x\")? [a-h] [1-8] (\"=\" [NBKQR])?\ncastle ::= \"O-O\" \"-O\"?", []string{"1. e4 Nf6\n", "12. exd5 O-O-O+\n"}, []string{"1. e9 e5\n"}},
}

func TestGrammarsThatPeopleWriteAreLetThrough(t *testing.T) {
	for _, c := range written {
		t.Run(c.name, func(t *testing.T) {
			for _, text := range c.yes {
				if !matches(t, c.gbnf, text) {
					t.Errorf("%q does not match", text)
				}
			}
			for _, text := range c.no {
				if matches(t, c.gbnf, text) {
					t.Errorf("%q matches", text)
				}
			}
		})
	}
}

// chain is n rules, each of which is the next one twice, in two ways.
func chain(n int, body string) string {
	var b strings.Builder
	b.WriteString("root ::= r0\n")
	for i := range n {
		fmt.Fprintf(&b, "r%d ::= %s\n", i, strings.ReplaceAll(body, "NEXT", fmt.Sprintf("r%d", i+1)))
	}
	fmt.Fprintf(&b, "r%d ::= \"z\"\n", n)
	return b.String()
}

func TestAGrammarThatWouldHurtIsRefusedWithItsPlace(t *testing.T) {
	for _, c := range []struct{ name, gbnf, want string }{
		{"empty", " # nothing", "line 1, column 11: there is no rule named root"},
		{"too long", "root ::= \"" + strings.Repeat("a", MaxGrammarBytes) + `"`, "it has 65547 bytes, at most 65536 are read"},
		{"not text", "root ::= \"\xff\"", "it is not plain UTF-8 text"},
		{"a zero byte", "root ::= \"\x00\"", "it is not plain UTF-8 text"},
		{"no root", `a ::= "b"`, "line 1, column 10: there is no rule named root"},
		{"an undefined rule", "root ::= \"é\" a\nb ::= c", "line 1, column 14: there is no rule named a"},
		{"a rule twice", "root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: rule root is there twice"},
		{"no ::=", "root = \"a\"", "line 1, column 6: ::= expected"},
		{"no name", "\n::= \"a\"", "line 2, column 1: the name of a rule expected"},
		{"the alternative on a line of its own", "root ::= \"a\"\n | \"b\"", "line 2, column 2: the name of a rule expected"},
		{"open quotes", `root ::= "a`, "line 1, column 10: the quotes that open here are never closed"},
		{"open class", `root ::= [a`, "line 1, column 10: the bracket that opens here is never closed"},
		{"open range", `root ::= [a-`, "line 1, column 13: the grammar ends in the middle"},
		{"open group", `root ::= ("a" "b"`, "line 1, column 18: ) expected"},
		{"a group too many", `root ::= "a")`, `line 1, column 13: ')' cannot stand here`},
		{"two rules on a line", `root ::= a a ::= "b"`, `line 1, column 14: ':' cannot stand here`},
		{"an unknown escape", `root ::= "\q"`, "line 1, column 11: an unknown escape"},
		{"a broken escape", `root ::= "\u12g4"`, "line 1, column 11: 4 hexadecimal digits expected"},
		{"a character that is not there", `root ::= "\U00110000"`, "line 1, column 11: there is no such character"},
		{"an escape at the end", `root ::= "\`, "line 1, column 11: an unknown escape"},
		{"an empty class", `root ::= []`, "line 1, column 10: a class without a character"},
		{"nothing excluded", `root ::= [^]`, "line 1, column 10: a class without a character"},
		{"a reversed range", `root ::= [z-a]`, "line 1, column 11: a range that ends before it begins"},
		{"a token", `root ::= <think> "a"`, "line 1, column 10: tokens cannot be used in a grammar here"},
		{"any token but one", `root ::= "a" !<[5]>`, "line 1, column 14: tokens cannot be used in a grammar here"},
		{"nothing to repeat", `root ::= *`, "line 1, column 10: there is nothing before it that could be repeated"},
		{"an empty text repeated", `root ::= "a" ""*`, "line 1, column 16: there is nothing before it that could be repeated"},
		{"more at least than at most", `root ::= "a"{5,3}`, "line 1, column 13: at least 5 and at most 3 times cannot be"},
		{"a repetition without number", `root ::= "a"{,3}`, "line 1, column 14: a number expected"},
		{"a repetition without end", `root ::= "a"{2`, "line 1, column 15: } expected"},
		{"too often", `root ::= "a"{2000}`, "line 1, column 14: repeated more than 1999 times"},
		{"far too often", `root ::= "a"{1,99999999999999999999}`, "line 1, column 16: repeated more than 1999 times"},
		{"often of often", `root ::= ("a"{0,99} "b"){99}`, "line 1, column 25: repetitions of repetitions come to more than 1999"},
		{"often again", `root ::= "a"{99}{99}`, "line 1, column 17: repetitions of repetitions come to more than 1999"},
		{"a long text often", `root ::= "` + strings.Repeat("a", 1000) + `"{0,1000}`, "line 1, column 1012: the grammar becomes too large here"},
		{"many rules", manyRules(MaxRules + 1), "there are more than 4096 rules"},
		{"deep brackets", "root ::= " + strings.Repeat("(", 5000) + `"a"` + strings.Repeat(")", 5000), "line 1, column 74: brackets stand in each other over 64 deep"},
		{"deep repetitions", `root ::= "a"` + strings.Repeat("?", 5000), "line 1, column 77: repetitions stand in each other over 64 deep"},
		{"a rule that begins with itself", "root ::= root \"a\" | \"b\"", "line 1, column 1: rule root can begin with itself"},
		{"in a circle", "root ::= a\na ::= b\nb ::= \"x\" | (a \"y\")", "line 2, column 1: rule a can begin with itself"},
		{"behind what may be empty", "root ::= \"-\"? root \"a\" | \"b\"", "line 1, column 1: rule root can begin with itself"},
		{"behind what may be empty by others", "root ::= b root \"x\" | \"y\"\nb ::= c\nc ::= \"\" | \"z\"", "line 1, column 1: rule root can begin with itself"},
		{"in a rule that nobody uses", "root ::= \"a\"\nb ::= b", "line 2, column 1: rule b can begin with itself"},
		{"nothing for ever", `root ::= "a" ("b"?)*`, "line 1, column 14: what is repeated without end here may be empty"},
		{"nothing for ever by a rule", "root ::= ws+\nws ::= [ ]*", "line 1, column 10: what is repeated without end here may be empty"},
		{"nothing for ever deep inside", `root ::= "a" ( "c" | "d" ( ("x" | )+ ) )`, "line 1, column 28: what is repeated without end here may be empty"},
		{"a part that may be empty, often", "root ::= x{0,101}\nx ::= \"a\" |", "line 1, column 10: what is repeated so often here may be empty"},
		{"many parts that may be empty", "root ::= \"b\" (" + strings.Repeat(`"a"? `, 101) + `"c")`, "line 1, column 520: too many parts before this one may be empty"},
		{"a million ways to begin", chain(20, `NEXT "x" | NEXT "y"`), "can begin in too many ways"},
		{"a million ways to the same", chain(20, `NEXT | NEXT`), "can begin in too many ways"},
		{"a million ways behind a letter", strings.Replace(chain(11, `NEXT "x" | NEXT "y"`), "root ::= r0", `root ::= "a" (r0 | r0 "x" | r0 "y")`, 1), "line 1, column 14: this can begin in too many ways"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := CheckGrammar(c.gbnf)
			if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrGrammar) {
				t.Fatalf("got %v\nwant %s", err, c.want)
			}
			if len(err.Error()) > 200 || len(hint.Of(err)) > 200 {
				t.Errorf("%d bytes of error: %v", len(err.Error()), err)
			}
		})
	}
}

func manyRules(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "r%d ::= \"\"\n", i)
	}
	return b.String()
}

// largest are grammars at the bounds, which llama.cpp takes too.
var largest = []string{
	`root ::= "a"{1999}`, `root ::= [ab]{0,1999}`, `root ::= "a"{1999,}`, `root ::= ("a"{0,110} "b"){17}`,
	"root ::= " + strings.Repeat("(", MaxNesting-1) + `"a"` + strings.Repeat(")", MaxNesting-1),
	chain(11, `NEXT "x" | NEXT "y"`), chain(4000, `NEXT`), "root ::= x{0,100}\nx ::= \"a\" |", "root ::= ((" + strings.Repeat(`"a" | `, maxBeginnings-1) + `"a"))`,
}

func TestTheLargestGrammarsAreLetThrough(t *testing.T) {
	for _, gbnf := range largest {
		if err := CheckGrammar(gbnf); err != nil {
			t.Errorf("%.60s: %v", gbnf, err)
		}
	}
}

func FuzzCheckGrammar(f *testing.F) {
	for _, text := range []string{
		`root ::= "yes" | [^a-z\]]{2,3} (. b)* # c`, "b ::= \"\\x41\\u00e9\"\r\nroot ::= b{1,}? |\n ()",
		"root ::= b root \"x\" | \"y\"\nb ::= c\nc ::= \"\" | \"z\"", "root ::= <[5]> !<a>", `root ::= ("b"?)*`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := checkedGrammar(text)
		if err != nil {
			if !errors.Is(err, ErrGrammar) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		g.matches("ab") // ends, as llama.cpp would
	})
}
