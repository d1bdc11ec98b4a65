package schema

// list is any array of a shape; "" if none fits.
func (b *builder) list(s *shape) (string, error) {
	l := s.list
	if len(l.prefix) > 0 && !l.restGiven {
		l.high = lesser(l.high, len(l.prefix))
	}
	if l.high != unbounded && l.low > l.high {
		return "", nil
	}
	ws := b.basic("ws")
	var places []string
	for i, schemas := range l.prefix {
		if l.high != unbounded && i >= l.high {
			break
		}
		one, err := b.value(schemas, s.at)
		if err != nil {
			return "", err
		}
		if one == "" { // nothing can stand here, so the array ends before
			l.high = lesser(l.high, i)
			break
		}
		places = append(places, sequence(one, ws))
	}
	rest := ""
	if l.high == unbounded || l.high > len(l.prefix) {
		one, err := b.value(l.rest, s.at)
		if err != nil {
			return "", err
		}
		if one == "" {
			l.high = lesser(l.high, len(l.prefix))
		} else {
			rest = sequence(one, ws)
		}
	}
	if l.high != unbounded && l.low > l.high {
		return "", nil
	}
	return sequence(literal("["), ws, b.items(places, rest, l.low, l.high), literal("]")), nil
}

// items writes low to high items: those of places first, then rest.
func (b *builder) items(places []string, rest string, low, high int) string {
	after := "" // what may follow
	if rest != "" && (high == unbounded || high > len(places)) {
		if len(places) == 0 {
			first := sequence(rest, b.repeat(b.rule("more", sequence(literal(","), b.basic("ws"), rest)), max(0, low-1), lessOne(high)))
			return optionally(first, low == 0)
		}
		above := high
		if high != unbounded {
			above = high - len(places)
		}
		after = b.repeat(b.rule("more", sequence(literal(","), b.basic("ws"), rest)), max(0, low-len(places)), above)
	}
	for i := len(places) - 1; i >= 0; i-- {
		one := places[i]
		if i > 0 {
			one = sequence(literal(","), b.basic("ws"), one)
		}
		after = optionally(sequence(one, after), i >= low)
		if i%8 == 7 { // brackets stand in each other
			after = b.rule("items", after)
		}
	}
	return after
}

func optionally(expression string, may bool) string {
	if may && expression != "" {
		return "( " + expression + " )?"
	}
	return expression
}

func lessOne(high int) int {
	if high == unbounded {
		return unbounded
	}
	return high - 1
}
