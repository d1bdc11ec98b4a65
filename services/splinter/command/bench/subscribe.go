package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

const redisChannel = "bench"

// messageSize is what is published, in bytes.
const messageSize = 64

// subscribeSocket takes so many connections and reads from each so many
// messages: what a publisher without a bus would have to write n times.
func (p *peer) subscribeSocket(subscribers, messages int) (uint64, int, error) {
	l, err := p.listen()
	if err != nil {
		return 0, 0, err
	}
	defer l.Close()
	fmt.Fprintln(p.out, "ok 0 0")
	return together(subscribers, func() (func() (int, error), error) {
		conn, err := l.Accept()
		if err != nil {
			return nil, err
		}
		return func() (int, error) {
			defer conn.Close()
			reader := bufio.NewReaderSize(conn, 64<<10)
			for n := range messages {
				if _, err := reader.Discard(messageSize); err != nil {
					return n, err
				}
			}
			return messages, nil
		}, nil
	})
}

// together prepares so many subscribers one after another, runs them at once and
// returns how many messages they received.
func together(subscribers int, prepare func() (run func() (int, error), err error)) (uint64, int, error) {
	runs := make([]func() (int, error), subscribers)
	for i := range runs {
		var err error
		if runs[i], err = prepare(); err != nil {
			return 0, 0, err
		}
	}
	type result struct {
		received int
		err      error
	}
	begin := now()
	results := make(chan result)
	for _, run := range runs {
		go func() {
			received, err := run()
			results <- result{received, err}
		}()
	}
	total := result{}
	for range runs {
		r := <-results
		total.received += r.received
		if r.err != nil && total.err == nil {
			total.err = r.err
		}
	}
	return now() - begin, total.received, total.err
}

func (p *peer) subscribeRedis(subscribers, messages int) (uint64, int, error) {
	var conns []net.Conn
	readers := make(chan *bufio.Reader, subscribers)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range subscribers {
		conn, reader, err := p.subscribedRedis()
		if err != nil {
			return 0, 0, err
		}
		conns = append(conns, conn)
		readers <- reader
	}
	fmt.Fprintln(p.out, "ok 0 0")
	return together(subscribers, func() (func() (int, error), error) {
		reader := <-readers
		return func() (int, error) {
			for n := range messages {
				if _, err := redisMessage(reader); err != nil {
					return n, err
				}
			}
			return messages, nil
		}, nil
	})
}

func (p *peer) subscribedRedis() (net.Conn, *bufio.Reader, error) {
	conn, reader, err := p.dialRedis()
	if err != nil {
		return nil, nil, err
	}
	if _, err = fmt.Fprintf(conn, "SUBSCRIBE %s\r\n", redisChannel); err == nil {
		_, err = redisMessage(reader) // the answer has the shape of a message, with a count
	}
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, reader, nil
}

// redisMessage reads an array of three and returns the last, a count as nothing.
func redisMessage(reader *bufio.Reader) ([]byte, error) {
	line := func() (string, error) {
		text, err := reader.ReadString('\n')
		return strings.TrimSpace(text), err
	}
	if head, err := line(); err != nil || head != "*3" {
		return nil, fmt.Errorf("redis: %q is no message: %w", head, err)
	}
	var last []byte
	for range 3 {
		head, err := line()
		if err != nil || head == "" {
			return nil, fmt.Errorf("redis: end within a message: %w", err)
		}
		last = nil
		if head[0] != '$' {
			continue
		}
		size, err := strconv.Atoi(head[1:])
		if err != nil || size < 0 || size > 1<<20 {
			return nil, fmt.Errorf("redis: %q is no size", head)
		}
		last = make([]byte, size+2)
		if _, err := io.ReadFull(reader, last); err != nil {
			return nil, err
		}
		last = last[:size]
	}
	return last, nil
}
