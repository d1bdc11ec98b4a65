package schema

import (
	"slices"
	"unicode/utf8"
)

// object is any object of a shape; "" if none fits.
func (b *builder) object(s *shape) (string, error) {
	o := s.object
	if !o.given {
		return b.basic("object"), nil
	}
	pairs, fits, err := b.pairs(s, &o)
	if err != nil || !fits {
		return "", err
	}
	other := "" // a pair that is not named
	if o.restGiven || len(o.names) == 0 {
		value, err := b.value(o.rest, s.at)
		if err != nil {
			return "", err
		}
		if value != "" {
			ws := b.basic("ws")
			other = b.rule("other", sequence(b.otherName(pairs), ws, literal(":"), ws, value, ws))
		}
	}
	body, err := b.members(s, pairs, other)
	if err != nil || body == never {
		return "", err
	}
	return sequence(literal("{"), b.basic("ws"), body, literal("}")), nil
}

// never stands for what nothing fits, where an empty text would.
const never = "never"

// A pair is a property that is named.
type pair struct {
	name       string
	expression string
	required   bool
}

// pairs are the properties that are named, or required, in their order; false if
// one that is required can't be.
func (b *builder) pairs(s *shape, o *objectShape) (pairs []pair, fits bool, err error) {
	ws := b.basic("ws")
	names := slices.Clone(o.names)
	for _, name := range o.required {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		required := slices.Contains(o.required, name)
		schemas, at := o.property(name), s.at
		if own := o.properties[name]; len(own) > 0 {
			at = own[0]
		}
		value, err := b.value(schemas, at)
		if err != nil {
			return nil, false, err
		}
		p := pair{name: name, required: required}
		switch {
		case value != "":
			p.expression = sequence(literal(quoted(name)), ws, literal(":"), ws, value, ws)
		case required:
			return nil, false, nil
		}
		pairs = append(pairs, p) // one that can't be still keeps its name from others
	}
	return pairs, true, nil
}

// members writes what stands between the brackets; never if nothing fits.
func (b *builder) members(s *shape, pairs []pair, other string) (string, error) {
	o := &s.object
	least, most := 0, 0
	pairs = slices.DeleteFunc(slices.Clone(pairs), func(p pair) bool { return p.expression == "" })
	for _, p := range pairs {
		most++
		if p.required {
			least++
		}
	}
	if len(pairs) == 0 && other != "" {
		if o.high != unbounded && (o.low > o.high) {
			return never, nil
		}
		if o.high == 0 {
			return "", nil
		}
		more := b.repeat(b.rule("more", sequence(literal(","), b.basic("ws"), other)), max(0, o.low-1), lessOne(o.high))
		return optionally(sequence(other, more), o.low == 0), nil
	}
	switch {
	case o.high != unbounded && (o.high < least || o.low > o.high), other == "" && o.low > most:
		return never, nil
	case o.high == least: // those required alone
		pairs, other = slices.DeleteFunc(pairs, func(p pair) bool { return !p.required }), ""
	case other == "" && o.low == most: // all that there are
		for i := range pairs {
			pairs[i].required = true
		}
	case o.low > least, o.high != unbounded && (o.high < most || other != ""):
		return "", fail(s.at, "minProperties and maxProperties beside properties are not supported")
	}
	return b.chain(pairs, other), nil
}

// chain writes pairs in their order, each of which may be left out unless it is
// required, then others.
func (b *builder) chain(pairs []pair, other string) string {
	comma := sequence(literal(","), b.basic("ws"))
	after, first := "", "" // what may follow when something is there, and when nothing is
	if other != "" {
		after = b.rule("more", sequence(comma, other)) + "*"
		first = sequence(other, after)
	}
	leading := slices.IndexFunc(pairs, func(p pair) bool { return p.required }) // the last that can be the first
	mayBeEmpty := leading < 0
	if mayBeEmpty {
		leading = len(pairs) - 1
	}
	for i := len(pairs) - 1; i >= 0; i-- {
		p := pairs[i]
		if i <= leading && i > 0 || !p.required { // written twice
			p.expression, after = b.rule("pair", p.expression), b.short("after", after)
		}
		if i <= leading {
			begun := sequence(p.expression, after)
			if !p.required && first != "" {
				begun = either(begun, b.rule("first", first))
			}
			first = begun
		}
		switch with := sequence(comma, p.expression, after); {
		case p.required:
			after = with
		case after == "":
			after = optionally(with, true)
		default:
			after = either(with, after)
		}
	}
	return optionally(first, mayBeEmpty)
}

// short makes a rule of what is written twice.
func (b *builder) short(stem, expression string) string {
	if expression == "" {
		return ""
	}
	return b.named(stem, expression)
}

// otherName is a name, in quotes, that none of the pairs has.
func (b *builder) otherName(pairs []pair) string {
	if len(pairs) == 0 {
		return b.basic("string")
	}
	tree := &names{}
	for _, p := range pairs {
		tree.add(p.name)
	}
	return sequence(literal(`"`), b.otherThan(tree))
}

// names is a tree of names, character by character.
type names struct {
	ends  bool
	nexts []rune // in their order
	trees map[rune]*names
}

func (n *names) add(name string) {
	for _, c := range name {
		if n.trees == nil {
			n.trees = map[rune]*names{}
		}
		if n.trees[c] == nil {
			n.trees[c] = &names{}
			n.nexts = append(n.nexts, c)
		}
		n = n.trees[c]
	}
	n.ends = true
}

// otherThan is the rest of a name that is not in the tree, and its quote. Such
// names write each character in one way only, or an escape could hide one that is.
func (b *builder) otherThan(n *names) string {
	if len(n.nexts) == 0 && n.ends {
		return sequence(b.basic("key")+"+", literal(`"`))
	}
	slices.Sort(n.nexts)
	var ways []string
	var taken []runes
	if !n.ends {
		ways = append(ways, literal(`"`))
	}
	for _, c := range n.nexts {
		taken = append(taken, runes{c, c})
		if one := characterIn([]runes{{c, c}}, false); one != "" && c != utf8.RuneError {
			ways = append(ways, sequence(one, b.rule("name", b.otherThan(n.trees[c]))))
		}
	}
	rest := b.rule("name", sequence(b.basic("key")+"*", literal(`"`)))
	ways = append(ways, sequence(b.otherCharacter(taken), rest))
	return either(ways...)
}

// otherCharacter is any character of a name but some. What lies beyond ASCII, or
// is written with \, is rarely among those and has a rule of its own.
func (b *builder) otherCharacter(taken []runes) string {
	plain := intersect(unescaped, []runes{{0, 0x7e}})
	if len(subtract(taken, plain)) > 0 {
		return characterIn(subtract(everyRune, taken), false)
	}
	return either(class(subtract(plain, taken)), b.rule("beyond", characterIn(subtract(everyRune, plain), false)))
}
