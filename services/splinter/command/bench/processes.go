package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"time"

	"runa/services/rmp"
)

const readerSize = 1 << 10 // bytes of the value that one writes and many read

// readers: one process writes a key all the time, others read it all the time.
// The figure is the time for each successful read of all of them together.
func (b *bench) readers() (all []measurement, err error) {
	type crowd struct {
		contender   string
		read, write string
		start       func() (*peerProcess, error)
		processes   []*peerProcess // the first writes
	}
	crowds := []*crowd{{contender: "splinter", read: "read", write: "write", start: b.startPeer}}
	for _, n := range b.natives() {
		crowds = append(crowds, &crowd{contender: n.name, read: "read", write: "write", start: func() (*peerProcess, error) {
			p, err := startProcess(exec.CommandContext(b.ctx, n.binary, n.args...))
			if err == nil {
				b.atEnd(p.stop)
			}
			return p, err
		}})
	}
	if b.redis != nil {
		crowds = append(crowds, &crowd{contender: "redis", read: "redis-read", write: "redis-write", start: b.startPeer})
	}
	window := int(max(b.Window*4, 20*time.Millisecond).Milliseconds())
	for _, readers := range []int{1, 7, 31} {
		for _, c := range crowds {
			all = append(all, measurement{
				names: []string{fmt.Sprintf("1 writer, %d readers", readers)}, contender: c.contender,
				run: func() ([]float64, error) {
					for len(c.processes) <= readers {
						p, err := c.start()
						if err != nil {
							return nil, err
						}
						c.processes = append(c.processes, p)
					}
					ns, err := crowdRead(c.processes[0], c.processes[1:readers+1], c.write, c.read, window)
					return []float64{ns}, err
				},
			})
		}
	}
	return all, nil
}

func (b *bench) natives() (all []*native) {
	if b.libsplinter != nil {
		all = append(all, b.libsplinter.native)
	}
	if b.lmdb != nil {
		all = append(all, b.lmdb)
	}
	return all
}

func crowdRead(writer *peerProcess, readers []*peerProcess, write, read string, window int) (float64, error) {
	if _, _, err := writer.do(write, readerSize, 1); err != nil { // the key is there
		return 0, err
	}
	if err := writer.ask(write, readerSize, window); err != nil {
		return 0, err
	}
	for _, r := range readers {
		if err := r.ask(read, readerSize, window); err != nil {
			return 0, err
		}
	}
	total, longest := 0, time.Duration(0)
	for _, r := range readers {
		elapsed, succeeded, err := r.answer()
		if err != nil {
			return 0, err
		}
		total += succeeded
		longest = max(longest, elapsed)
	}
	_, _, err := writer.answer()
	return float64(longest) / float64(max(total, 1)), err
}

// waking: how long after a change the other process, asleep until then, runs.
func (b *bench) waking() (all []measurement, err error) {
	names := []string{"wake p50", "wake p99"}
	wakes := int(min(max(b.Window/(100*time.Microsecond), 20), 1000))
	add := func(contender, operation string, open func() (stamp func([]byte) error, done func(), err error)) {
		all = append(all, measurement{names: names, contender: contender, run: func() ([]float64, error) {
			if err := b.peer.ask(operation, 0, wakes); err != nil {
				return nil, err
			}
			if _, _, err := b.peer.answer(); err != nil {
				return nil, err
			}
			stamp, done, err := open()
			if err != nil {
				return nil, err
			}
			for range wakes {
				// Long enough for the other to be asleep, not in step with anything.
				time.Sleep(time.Duration(150+rand.IntN(100)) * time.Microsecond)
				if err := stamp(binary.LittleEndian.AppendUint64(nil, now())); err != nil {
					done()
					return nil, err
				}
			}
			done()
			p50, p99, err := b.peer.answer()
			return []float64{float64(p50), float64(p99)}, err
		}})
	}
	add("splinter", "wait", func() (func([]byte) error, func(), error) {
		return func(s []byte) error { return b.bus.bus.Set(stampKey, s) }, func() { b.bus.bus.Set(stampKey, lastStamp) }, nil
	})
	add("unix socket", "socket-wait", func() (func([]byte) error, func(), error) {
		conn, err := net.Dial("unix", (&peer{dir: b.dir}).socket())
		if err != nil {
			return nil, nil, err
		}
		return func(s []byte) error { _, err := conn.Write(s); return err }, func() { conn.Close() }, nil
	})
	if b.redis != nil {
		add("redis", "redis-wait", func() (func([]byte) error, func(), error) {
			return func(s []byte) error { _, err := b.redis.call("PUBLISH", redisChannel, string(s)); return err }, func() {}, nil
		})
	}
	if b.libsplinter != nil {
		all = append(all, measurement{names: names, contender: "libsplinter", run: b.wakeLibsplinter()})
	}
	return all, nil
}

// wakeLibsplinter uses two processes of the C peer; its library looks every 10 ms.
func (b *bench) wakeLibsplinter() func() ([]float64, error) {
	const gap, wakes = 20000, 20
	return func() ([]float64, error) {
		n := b.libsplinter.native
		if _, _, err := n.peer.do("stamp", 0, 1); err != nil {
			return nil, err
		}
		waiter, err := startProcess(exec.CommandContext(b.ctx, n.binary, n.args...))
		if err != nil {
			return nil, err
		}
		defer waiter.stop()
		if err := waiter.ask("wait", 0, wakes); err != nil {
			return nil, err
		}
		// Some stamps more than are waited for: one can pass between two waits.
		if err := n.peer.ask("stamp", gap, 2*wakes); err != nil {
			return nil, err
		}
		p50, p99, err := waiter.answer()
		if err != nil {
			return nil, err
		}
		_, _, err = n.peer.answer()
		return []float64{float64(p50), float64(p99)}, err
	}
}

// roundTrips: a frame with 64 bytes there and back.
func (b *bench) roundTrips() ([]measurement, error) {
	if _, _, err := b.peer.do("echo", 0, 0); err != nil {
		return nil, err
	}
	conn, err := b.bus.bus.Dial(b.ctx, echoName)
	if err != nil {
		return nil, err
	}
	b.atEnd(func() { conn.Close() })
	stream, err := net.Dial("unix", (&peer{dir: b.dir}).socket())
	if err != nil {
		return nil, err
	}
	b.atEnd(func() { stream.Close() })
	frame, err := rmp.New(rmp.SchemaToken, time.Now(), [16]byte{1}, 1, make([]byte, 64))
	if err != nil {
		return nil, err
	}
	reader := rmp.NewReader(stream)
	trip := func(contender string, once func() error) measurement {
		return measurement{names: []string{"request and reply"}, contender: contender, run: b.adaptive(func(n int) (time.Duration, error) {
			begin := time.Now()
			for range n {
				if err := once(); err != nil {
					return 0, err
				}
			}
			return time.Since(begin), nil
		})}
	}
	all := []measurement{
		trip("splinter", func() error {
			if err := conn.Send(b.ctx, frame); err != nil {
				return err
			}
			_, err := conn.Receive(b.ctx)
			return err
		}),
		trip("unix socket", func() error {
			if err := rmp.WriteFrame(stream, frame); err != nil {
				return err
			}
			_, err := reader.ReadFrame()
			return err
		}),
	}
	if b.redis != nil {
		all = append(all, trip("redis", func() error { _, err := b.redis.call("PING"); return err }))
	}
	return all, nil
}
