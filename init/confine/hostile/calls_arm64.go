package hostile

// ofThisMachine are calls that only this architecture has.
func ofThisMachine() []Attempt { return nil }
