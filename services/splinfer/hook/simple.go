package hook

// Empty returns the hook that allows everything. A token costs it a few
// nanoseconds and no memory.
func Empty() Hook { return empty{} }

type empty struct{}

func (empty) Begin(Answer) (Session, Verdict, error) { return empty{}, Verdict{}, nil }
func (empty) Judge(Token) (Verdict, bool)            { return Verdict{}, true }
func (empty) Later() <-chan Verdict                  { return nil }
func (empty) End(string)                             {}

// Func returns a hook that asks judge about each token of every answer and
// allows every prompt. A Hold from it is a Stop, as no verdict would follow.
func Func(judge func(Token) Verdict) Hook { return guarded{function(judge)} }

type function func(Token) Verdict

func (f function) Begin(Answer) (Session, Verdict, error) { return f, Verdict{}, nil }
func (f function) Judge(t Token) (Verdict, bool)          { return f(t), true }
func (function) Later() <-chan Verdict                    { return nil }
func (function) End(string)                               {}
