package bench

import (
	"fmt"
	"net"
	"time"
)

// publishing: the time for each message from the first call until every
// subscriber, all in another process, has the last one. Only messages that
// arrived count.
func (b *bench) publishing() (all []measurement, err error) {
	for _, subscribers := range []int{1, 8} {
		name := fmt.Sprintf("publish 64 B to %d", subscribers)
		add := func(contender, operation string, open func() (publish func() error, done func(), err error)) {
			count := 0
			once := func(n int) (perMessage float64, err error) {
				if err := b.peer.ask(operation, subscribers, n); err != nil {
					return 0, err
				}
				if _, _, err := b.peer.answer(); err != nil {
					return 0, err
				}
				publish, done, err := open()
				if err != nil {
					return 0, err
				}
				defer done()
				begin := time.Now()
				for range n {
					if err := publish(); err != nil {
						return 0, err
					}
				}
				_, received, err := b.peer.answer()
				return float64(time.Since(begin)) * float64(subscribers) / float64(max(received, 1)), err
			}
			all = append(all, measurement{names: []string{name}, contender: contender, run: func() ([]float64, error) {
				if count == 0 {
					ns, err := once(500)
					if err != nil {
						return nil, err
					}
					count = max(1, int(float64(b.Window)/ns))
				}
				ns, err := once(count)
				return []float64{ns}, err
			}})
		}
		add("splinter", "subscribe", func() (func() error, func(), error) { return b.busPublisher(subscribers) })
		add("unix socket", "socket-subscribe", func() (func() error, func(), error) { return b.socketPublisher(subscribers) })
		if b.redis != nil {
			message := string(make([]byte, messageSize))
			add("redis", "redis-subscribe", func() (func() error, func(), error) {
				return func() error { _, err := b.redis.call("PUBLISH", redisChannel, message); return err }, func() {}, nil
			})
		}
	}
	return all, nil
}

// socketPublisher writes each message to each of so many connections.
func (b *bench) socketPublisher(subscribers int) (publish func() error, done func(), err error) {
	var conns []net.Conn
	done = func() {
		for _, c := range conns {
			c.Close()
		}
	}
	for range subscribers {
		conn, err := net.Dial("unix", (&peer{dir: b.dir}).socket())
		if err != nil {
			done()
			return nil, nil, err
		}
		conns = append(conns, conn)
	}
	message := make([]byte, messageSize)
	return func() error {
		for _, c := range conns {
			if _, err := c.Write(message); err != nil {
				return err
			}
		}
		return nil
	}, done, nil
}
