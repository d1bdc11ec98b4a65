package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"runa/services/rmp"
	"runa/services/splinter"
)

const (
	echoName = "bench"
	stampKey = "bench/stamp"
)

// lastStamp ends waiting on the bus; it is no time.
var lastStamp = []byte("the last one")

// now is the machine's monotonic clock in nanoseconds: the same in every process.
func now() uint64 {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail with this clock
	return uint64(t.Nano())
}

// Peer is the bench's other process. It says "ok 0 0", then does what each line
// of in asks on the bus, socket and Redis server in the folder, until in ends.
//
//	read SIZE MILLISECONDS, write SIZE MILLISECONDS: on the bus, "ok NANOSECONDS SUCCEEDED"
//	redis-read ..., redis-write ...: the same on the Redis server
//	wait 0 0: waits for changes of the stamp on the bus, of which it may miss some,
//	until the last one, "ok P50 P99" of the delays
//	socket-wait 0 N: reads N stamps from the socket; redis-wait 0 N: from a channel
//	echo 0 0: answers frames on the bus and on the socket from now on
//	subscribe SUBSCRIBERS MESSAGES, and socket- and redis-: until each got as many
func Peer(ctx context.Context, dir string, in io.Reader, out io.Writer) error {
	bus, err := splinter.Open(filepath.Join(dir, "bus"))
	if err != nil {
		return err
	}
	defer bus.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &peer{ctx: ctx, dir: dir, bus: bus, out: out}
	fmt.Fprintln(out, "ok 0 0")
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var operation string
		var a, b int
		if _, err := fmt.Sscanf(lines.Text(), "%s %d %d", &operation, &a, &b); err != nil {
			return fmt.Errorf("peer: line %q: %w", lines.Text(), err)
		}
		elapsed, succeeded, err := p.do(operation, a, b)
		if err != nil {
			fmt.Fprintf(out, "error %v\n", err)
			continue
		}
		fmt.Fprintf(out, "ok %d %d\n", elapsed, succeeded)
	}
	return lines.Err()
}

type peer struct {
	ctx context.Context
	dir string
	bus *splinter.Bus
	out io.Writer
}

func (p *peer) socket() string { return filepath.Join(p.dir, "socket") }

func (p *peer) do(operation string, a, b int) (first uint64, second int, err error) {
	switch operation {
	case "read", "write":
		return p.hammerBus(operation, a, time.Duration(b)*time.Millisecond)
	case "redis-read", "redis-write":
		return p.hammerRedis(operation, a, time.Duration(b)*time.Millisecond)
	case "wait":
		return p.waitBus()
	case "socket-wait":
		return p.waitSocket(b)
	case "redis-wait":
		return p.waitRedis(b)
	case "echo":
		return 0, 0, p.echo()
	case "subscribe":
		return p.subscribeBus(a, b)
	case "socket-subscribe":
		return p.subscribeSocket(a, b)
	case "redis-subscribe":
		return p.subscribeRedis(a, b)
	}
	return 0, 0, fmt.Errorf("unknown operation %q", operation)
}

// hammer runs one operation for a time and counts those that succeeded.
func hammer(d time.Duration, run func() bool) (uint64, int, error) {
	succeeded, begin := 0, now()
	for now()-begin < uint64(d) {
		for range 50 {
			if run() {
				succeeded++
			}
		}
	}
	return now() - begin, succeeded, nil
}

func (p *peer) hammerBus(operation string, size int, d time.Duration) (uint64, int, error) {
	key, value := sizeKey(size), make([]byte, size)
	if operation == "write" {
		return hammer(d, func() bool { return p.bus.Set(key, value) == nil })
	}
	buffer := make([]byte, 0, size)
	return hammer(d, func() bool {
		got, _, err := p.bus.AppendGet(buffer, key)
		return err == nil && len(got) == size
	})
}

func (p *peer) hammerRedis(operation string, size int, d time.Duration) (uint64, int, error) {
	conn, reader, err := p.dialRedis()
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	key, value := sizeKey(size), string(make([]byte, size))
	return hammer(d, func() bool {
		if operation == "redis-write" {
			_, err := redisCall(conn, reader, "SET", key, value)
			return err == nil
		}
		found, err := redisCall(conn, reader, "GET", key)
		return err == nil && found
	})
}

func (p *peer) dialRedis() (net.Conn, *bufio.Reader, error) {
	conn, err := net.Dial("unix", filepath.Join(p.dir, "redis"))
	if err != nil {
		return nil, nil, err
	}
	return conn, bufio.NewReaderSize(conn, 128<<10), nil
}

// delays gathers how long after their stamps wakes came.
type delays []uint64

func (d *delays) add(woke uint64, stamp []byte) {
	if len(stamp) == 8 {
		*d = append(*d, woke-binary.LittleEndian.Uint64(stamp))
	}
}

func (d delays) result() (p50 uint64, p99 int, err error) {
	if len(d) == 0 {
		return 0, 0, errors.New("no wake was seen")
	}
	slices.Sort(d)
	return d[len(d)/2], int(d[len(d)*99/100]), nil
}

func (p *peer) waitBus() (uint64, int, error) {
	_, after, err := p.bus.Get(stampKey)
	if err != nil && !errors.Is(err, splinter.ErrNotFound) {
		return 0, 0, err
	}
	fmt.Fprintln(p.out, "ok 0 0") // the stamps may begin
	var d delays
	for {
		value, version, err := p.bus.Wait(p.ctx, stampKey, after)
		if err != nil {
			return 0, 0, err
		}
		if string(value) == string(lastStamp) {
			return d.result()
		}
		d.add(now(), value)
		after = version
	}
}

// listen takes the socket that all of the peer's operations use, one after another.
func (p *peer) listen() (net.Listener, error) { return net.Listen("unix", p.socket()) }

func (p *peer) waitSocket(n int) (uint64, int, error) {
	l, err := p.listen()
	if err != nil {
		return 0, 0, err
	}
	defer l.Close()
	fmt.Fprintln(p.out, "ok 0 0")
	conn, err := l.Accept()
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	var d delays
	stamp := make([]byte, 8)
	for len(d) < n {
		if _, err := io.ReadFull(conn, stamp); err != nil {
			return 0, 0, err
		}
		d.add(now(), stamp)
	}
	return d.result()
}

func (p *peer) waitRedis(n int) (uint64, int, error) {
	conn, reader, err := p.subscribedRedis()
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	fmt.Fprintln(p.out, "ok 0 0")
	var d delays
	for len(d) < n {
		message, err := redisMessage(reader)
		if err != nil {
			return 0, 0, err
		}
		d.add(now(), message)
	}
	return d.result()
}

func (p *peer) echo() error {
	names, err := p.bus.Listen(echoName)
	if err != nil {
		return err
	}
	l, err := p.listen()
	if err != nil {
		return err
	}
	go echoBus(p.ctx, names)
	go echoSocket(l)
	return nil
}

func echoBus(ctx context.Context, names *splinter.Listener) {
	for {
		conn, err := names.Accept(ctx)
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			for {
				f, err := conn.Receive(ctx)
				if err != nil || conn.Send(ctx, f) != nil {
					return
				}
			}
		}()
	}
}

func echoSocket(l net.Listener) {
	defer l.Close()
	stream, err := l.Accept()
	if err != nil {
		return
	}
	defer stream.Close()
	reader := rmp.NewReader(stream)
	for {
		f, err := reader.ReadFrame()
		if err != nil || rmp.WriteFrame(stream, f) != nil {
			return
		}
	}
}
