package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"runa/services/splinter"
)

// Sizes of values that are set and got, in bytes.
var sizes = []int{64, 1 << 10, 64 << 10}

const (
	missKeys  = 65536
	missSlots = 81920 // what stores whose slots are fixed are made with
)

// store is a key-value store under test. Do runs an operation count times and
// returns the time of all of them; an operation that fails is an error.
//
//	set SIZE, get SIZE: of the key that belongs to the size
//	miss: of a key that is not there, among missKeys that are
type store interface {
	Name() string
	Do(operation string, size, count int) (time.Duration, error)
	Close()
}

func sizeKey(size int) string { return "bench/" + strconv.Itoa(size) }

// busStore is the bus itself; full is one with missKeys keys.
type busStore struct {
	bus, full *splinter.Bus
	buffer    []byte
}

func newBusStore(dir string) (*busStore, error) {
	bus, err := splinter.Create(filepath.Join(dir, "bus"), busOptions)
	if err != nil {
		return nil, err
	}
	full, err := splinter.Create(filepath.Join(dir, "bus-full"), splinter.Options{Slots: missSlots, ValueLimit: 64})
	if err != nil {
		bus.Close()
		return nil, err
	}
	for i := range missKeys {
		if err := full.Set("bench/"+strconv.Itoa(i), make([]byte, 8)); err != nil {
			return nil, err
		}
	}
	return &busStore{bus: bus, full: full, buffer: make([]byte, 0, 64<<10)}, nil
}

// busOptions are those of every bus that the bench makes for values.
var busOptions = splinter.Options{Slots: 64, ValueLimit: 64 << 10, Heap: 32 << 20, Messages: 1 << 14}

func (s *busStore) Name() string { return "splinter" }
func (s *busStore) Close()       { s.bus.Close(); s.full.Close() }

func (s *busStore) Do(operation string, size, count int) (time.Duration, error) {
	key, value := sizeKey(size), make([]byte, size)
	begin := time.Now()
	switch operation {
	case "set":
		for range count {
			if err := s.bus.Set(key, value); err != nil {
				return 0, err
			}
		}
	case "get":
		for range count {
			if _, _, err := s.bus.AppendGet(s.buffer, key); err != nil {
				return 0, err
			}
		}
	case "miss":
		for range count {
			if _, _, err := s.full.AppendGet(s.buffer, "bench/none"); !errors.Is(err, splinter.ErrNotFound) {
				return 0, fmt.Errorf("a key that is not there: %w", err)
			}
		}
	}
	return time.Since(begin), nil
}

// redisStore is a Redis server of its own behind a unix socket.
type redisStore struct {
	server *exec.Cmd
	socket string
	conn   net.Conn
	reader *bufio.Reader
}

func newRedisStore(ctx context.Context, dir string) (*redisStore, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("no redis-server; apt-get install redis-server")
	}
	r := &redisStore{socket: filepath.Join(dir, "redis")}
	r.server = exec.CommandContext(ctx, path, "--port", "0", "--unixsocket", r.socket, "--save", "", "--appendonly", "no", "--dir", dir, "--daemonize", "no")
	if err := r.server.Start(); err != nil {
		return nil, err
	}
	for range 200 {
		if r.conn, err = net.Dial("unix", r.socket); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("redis-server does not answer: %w", err)
	}
	r.reader = bufio.NewReaderSize(r.conn, 128<<10)
	for i := range missKeys {
		if _, err := r.call("SET", "bench/"+strconv.Itoa(i), "value"); err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil
}

func (r *redisStore) Name() string { return "redis" }

func (r *redisStore) Close() {
	if r.conn != nil {
		r.conn.Close()
	}
	r.server.Process.Kill()
	r.server.Wait()
}

func (r *redisStore) Do(operation string, size, count int) (time.Duration, error) {
	key, value := sizeKey(size), strings.Repeat("v", size)
	begin := time.Now()
	for range count {
		var err error
		found := true
		switch operation {
		case "set":
			_, err = r.call("SET", key, value)
		case "get":
			found, err = r.call("GET", key)
		case "miss":
			found, err = r.call("GET", "bench/none")
			found = !found
		}
		if err != nil || !found {
			return 0, fmt.Errorf("redis %s: %w", operation, errors.Join(err, missing(found)))
		}
	}
	return time.Since(begin), nil
}

func missing(found bool) error {
	if found {
		return nil
	}
	return errors.New("not what was there")
}

// call sends a command (RESP, https://redis.io/docs/latest/develop/reference/protocol-spec/)
// and reads the answer; found is false for the null answer.
func (r *redisStore) call(words ...string) (found bool, err error) {
	return redisCall(r.conn, r.reader, words...)
}

func redisCall(w io.Writer, reader *bufio.Reader, words ...string) (found bool, err error) {
	request := make([]byte, 0, 128)
	request = fmt.Appendf(request, "*%d\r\n", len(words))
	for _, word := range words {
		request = append(strconv.AppendInt(append(request, '$'), int64(len(word)), 10), "\r\n"...)
		request = append(append(request, word...), "\r\n"...)
	}
	if _, err := w.Write(request); err != nil {
		return false, err
	}
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return false, err
	}
	switch line[0] {
	case '-':
		return false, fmt.Errorf("redis: %s", strings.TrimSpace(string(line)))
	case '$':
		size, err := strconv.Atoi(strings.TrimSpace(string(line[1:])))
		if err != nil || size < 0 {
			return false, err
		}
		_, err = reader.Discard(size + 2)
		return true, err
	}
	return true, nil
}

// native is a store in a C library, timed by the C peer.
type native struct {
	name   string
	peer   *peerProcess
	binary string
	args   []string // to open the same store from a process more
}

// compilePeer makes the C peer in dir; an error says what is missing.
func compilePeer(ctx context.Context, dir string) (string, error) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		return "", errors.New("no gcc to compile the C peer with; apt-get install gcc libc6-dev")
	}
	source, binary := filepath.Join(dir, "peer.c"), filepath.Join(dir, "peer")
	if err := os.WriteFile(source, peerSource, 0o600); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, gcc, "-O2", "-o", binary, source, "-ldl").CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile the C peer: %w: %s", err, out)
	}
	return binary, nil
}

func newLMDB(ctx context.Context, binary, dir string) (*native, error) {
	folder := filepath.Join(dir, "lmdb")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, err
	}
	n := &native{name: "lmdb", binary: binary, args: []string{"lmdb", "liblmdb.so.0", folder}}
	return n, n.begin(ctx, n.args, true)
}

func newLibsplinter(ctx context.Context, binary, library, store string, slots, valueMax int, keys bool) (*native, error) {
	n := &native{name: "libsplinter", binary: binary, args: []string{
		"libsplinter", library, store, strconv.Itoa(slots), strconv.Itoa(valueMax),
	}}
	err := n.begin(ctx, n.args, keys)
	n.args = append(n.args, "open")
	return n, err
}

func (n *native) begin(ctx context.Context, args []string, fill bool) (err error) {
	if n.peer, err = startProcess(exec.CommandContext(ctx, n.binary, args...)); err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	if fill {
		if _, succeeded, err := n.peer.do("fill", missKeys, 8); err != nil || succeeded != missKeys {
			n.Close()
			return fmt.Errorf("%s: only %d of %d keys could be set: %w", n.name, succeeded, missKeys, err)
		}
	}
	return nil
}

func (n *native) Name() string { return n.name }
func (n *native) Close()       { n.peer.stop() }

func (n *native) Do(operation string, size, count int) (time.Duration, error) {
	elapsed, succeeded, err := n.peer.do(operation, size, count)
	if err == nil && succeeded != count {
		err = fmt.Errorf("only %d of %d succeeded", succeeded, count)
	}
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", n.name, operation, err)
	}
	return elapsed, nil
}

// libsplinter has its stores: one with room for the largest value, one that is full.
type libsplinter struct {
	*native
	full  *native
	files []string
}

func newLibsplinterStores(ctx context.Context, binary, library, dir string) (*libsplinter, error) {
	l := &libsplinter{}
	var err error
	for i, path := range []string{filepath.Join(dir, "libsplinter"), filepath.Join(dir, "libsplinter-full")} {
		slots, valueMax := 64, 64<<10
		if i == 1 {
			slots, valueMax = missSlots, 64
		}
		// The library is built for files or for shared memory objects; the latter take no folder.
		n, openErr := newLibsplinter(ctx, binary, library, path, slots, valueMax, i == 1)
		if openErr != nil {
			name := "/" + filepath.Base(dir) + "-" + filepath.Base(path)
			l.files = append(l.files, "/dev/shm"+name)
			n, err = newLibsplinter(ctx, binary, library, name, slots, valueMax, i == 1)
		}
		if err != nil {
			l.Close()
			return nil, err
		}
		if i == 0 {
			l.native = n
		} else {
			l.full = n
		}
	}
	return l, nil
}

func (l *libsplinter) Do(operation string, size, count int) (time.Duration, error) {
	if operation == "miss" {
		return l.full.Do(operation, size, count)
	}
	return l.native.Do(operation, size, count)
}

func (l *libsplinter) Close() {
	for _, n := range []*native{l.native, l.full} {
		if n != nil {
			n.Close()
		}
	}
	for _, file := range l.files {
		os.Remove(file)
	}
}
