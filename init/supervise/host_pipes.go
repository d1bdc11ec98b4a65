package supervise

import (
	"fmt"
	"io"
	"os"
)

// pipes are gilgul's ends of what a service writes.
type pipes struct{ stdout, stderr, notify *os.File }

// open makes three pipes; gilgul's ends go into p, the service's are returned.
func (p *pipes) open() (theirs pipes, err error) {
	for _, pair := range []struct{ ours, theirs **os.File }{
		{&p.stdout, &theirs.stdout}, {&p.stderr, &theirs.stderr}, {&p.notify, &theirs.notify},
	} {
		if *pair.ours, *pair.theirs, err = os.Pipe(); err != nil {
			p.close()
			theirs.close()
			return pipes{}, fmt.Errorf("make its pipes: %w", err)
		}
	}
	return theirs, nil
}

func (p *pipes) close() {
	for _, f := range []**os.File{&p.stdout, &p.stderr, &p.notify} {
		if *f != nil {
			(*f).Close()
			*f = nil
		}
	}
}

// copySize is how much of a service's output is read at once; 20 services have
// two streams each, and PID 1 shall stay small.
const copySize = 4 << 10

// keepLines puts what a stream brings into the service's log until nobody can
// write to it any more.
func (h *Host) keepLines(service string, stream io.Reader) {
	w := h.Logs.Ring(service).Writer()
	defer w.Close()
	buffer := make([]byte, copySize)
	for {
		n, err := stream.Read(buffer)
		w.Write(buffer[:n])
		if err != nil {
			return
		}
	}
}
