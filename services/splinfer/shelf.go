package splinfer

import "container/list"

// shelf keeps states of conversations in memory, the latest ones, up to a budget
// of bytes. It belongs to the computing goroutine.
type shelf struct {
	budget int
	used   int
	order  list.List // of *shelved, the latest first
	states map[string]*list.Element
}

type shelved struct {
	id    string
	state []byte
}

func newShelf(budget int) *shelf {
	return &shelf{budget: budget, states: map[string]*list.Element{}}
}

// put keeps a state in place of an earlier one, and gives up the oldest for it;
// it reports false for one that is over the whole budget.
func (s *shelf) put(id string, state []byte) bool {
	s.drop(id)
	if len(state) > s.budget {
		return false
	}
	for s.used+len(state) > s.budget {
		s.drop(s.order.Back().Value.(*shelved).id)
	}
	s.states[id] = s.order.PushFront(&shelved{id, state})
	s.used += len(state)
	return true
}

// get returns a state that stays; nil if there is none.
func (s *shelf) get(id string) []byte {
	element := s.states[id]
	if element == nil {
		return nil
	}
	s.order.MoveToFront(element)
	return element.Value.(*shelved).state
}

// drop forgets a state.
func (s *shelf) drop(id string) {
	if element := s.states[id]; element != nil {
		s.used -= len(element.Value.(*shelved).state)
		s.order.Remove(element)
		delete(s.states, id)
	}
}

// resize changes the budget and gives up what is over it.
func (s *shelf) resize(budget int) {
	s.budget = budget
	for s.used > s.budget {
		s.drop(s.order.Back().Value.(*shelved).id)
	}
}
