package supervise

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/health"
)

// gauge reads what one life takes of the machine. It is read four times a
// second for each service, so it keeps its files open and its buffer. Where
// there is no cgroup, or no controller, /proc tells of the first process alone.
type gauge struct {
	life   *life
	fds    string // /proc/PID/fd
	stat   *os.File
	buffer [1024]byte
}

func newGauge(l *life) *gauge {
	pid := strconv.Itoa(l.process.PID())
	g := &gauge{life: l, fds: "/proc/" + pid + "/fd"}
	g.stat, _ = os.Open("/proc/" + pid + "/stat") // without it less is known
	return g
}

func (g *gauge) close() {
	if g.stat != nil {
		g.stat.Close()
	}
}

// read fills in what can be read now.
func (g *gauge) read(s *health.Sample) {
	s.OpenFiles = g.openFiles()
	if c := g.life.cgroup; c != nil {
		n := c.Counters()
		s.CPU, s.Starved, s.MemoryBytes, s.Stall = n.CPU, n.CPUWaited, n.Memory, n.MemoryStalled
		s.OOMKills, s.ForksFailed = n.OOMKills, n.PIDsMax
	}
	if s.CPU == 0 || s.MemoryBytes == 0 {
		p := g.process()
		if s.CPU == 0 {
			s.CPU = p.cpu
		}
		if s.MemoryBytes == 0 {
			s.MemoryBytes = p.resident
		}
	}
}

func (g *gauge) processes() int {
	if c := g.life.cgroup; c != nil {
		if n := c.Counters().Processes; n > 0 {
			return n
		}
	}
	return g.process().threads
}

// firstOfItsNamespace says whether a process is PID 1 of a pid namespace of its
// own, so that everything in it ends when it does. Not known means no.
func firstOfItsNamespace(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false
	}
	for line := range bytes.Lines(text) {
		if numbers, is := bytes.CutPrefix(line, []byte("NSpid:")); is {
			fields := bytes.Fields(numbers)
			return len(fields) > 1 && string(fields[len(fields)-1]) == "1"
		}
	}
	return false
}

// openFiles is the number of open descriptors of the first process: since Linux
// 6.2 it is the size of the folder, before it the folder has to be listed.
func (g *gauge) openFiles() int {
	var info unix.Stat_t
	if err := unix.Stat(g.fds, &info); err != nil {
		return 0
	}
	if info.Size > 0 {
		return int(info.Size)
	}
	dir, err := os.Open(g.fds)
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	return len(names)
}

// processStat is what /proc/PID/stat tells of a process with its threads.
type processStat struct {
	cpu      time.Duration
	resident uint64 // bytes
	threads  int
}

func (g *gauge) process() processStat {
	if g.stat == nil {
		return processStat{}
	}
	n, _ := g.stat.ReadAt(g.buffer[:], 0)
	return parseStat(g.buffer[:n])
}

// clockTick is the unit of times in /proc/PID/stat: USER_HZ, which is 100 on
// every architecture Runa runs on.
const clockTick = 10 * time.Millisecond

// parseStat reads a line of /proc/PID/stat (man proc_pid_stat). The name in it
// may hold anything, so the fields are counted from its end.
func parseStat(line []byte) processStat {
	var p processStat
	i := bytes.LastIndexByte(line, ')')
	if i < 0 {
		return p
	}
	field := 2 // the name
	for word := range bytes.FieldsSeq(line[i+1:]) {
		field++
		switch field {
		case 14, 15: // utime, stime
			p.cpu += time.Duration(number(word)) * clockTick
		case 20: // num_threads
			p.threads = int(number(word))
		case 24: // rss, in pages
			p.resident = number(word) * uint64(os.Getpagesize())
			return p
		}
	}
	return p
}

// number reads digits without making a string of them; anything else is 0.
func number(digits []byte) uint64 {
	var n uint64
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0
		}
		n = n*10 + uint64(d-'0')
	}
	return n
}
