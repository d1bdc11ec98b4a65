package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"runa/services/splinter"
	"runa/services/supervised"
)

// answerPings answers who asks whether it works, until ctx ends or it goes deaf.
func (s *service) answerPings(ctx context.Context) error {
	listener, err := s.bus.Listen(s.name)
	if err != nil {
		return err
	}
	s.listener = listener
	go func() {
		for number := uint64(1); ; number++ {
			request, err := listener.AcceptRequest(ctx)
			if err != nil {
				return // it has gone deaf, or it ends
			}
			answer, err := supervised.Answer(request.Frame, time.Now(), number, "")
			if err == nil {
				err = request.Reply(answer)
			}
			if err != nil && !errors.Is(err, splinter.ErrClosed) {
				fmt.Fprintln(os.Stderr, "error: answer a ping:", err)
			}
			request.Close()
		}
	}()
	return nil
}

// hearing is the part of a service that peers and gilgul's probe ask.
type hearing struct {
	listener *splinter.Listener
	deafened atomic.Bool
}

// deaf lets it answer nobody any more: neither a ping nor a probe by its work.
// Its heart beats on.
func (h *hearing) deaf() {
	h.deafened.Store(true)
	h.listener.Close()
}
