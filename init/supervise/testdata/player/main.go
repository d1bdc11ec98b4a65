// Command player is a service for tests: it does what its arguments say, one
// after another, each as verb or verb=value, and then waits for its end. Without
// arguments it does what PLAYER_STEPS says, with commas between.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	steps := os.Args[1:]
	if len(steps) == 0 {
		steps = strings.Split(os.Getenv("PLAYER_STEPS"), ",")
	}
	for _, step := range steps {
		verb, value, _ := strings.Cut(step, "=")
		act, known := acts[verb]
		if !known {
			fail(fmt.Errorf("what is %q?", verb))
		}
		act(value)
	}
	for {
		time.Sleep(time.Hour)
	}
}

var acts = map[string]func(value string){
	"say":    func(text string) { fmt.Println(os.ExpandEnv(text)) },
	"cry":    func(text string) { fmt.Fprintln(os.Stderr, text) },
	"notify": func(line string) { must(fmt.Fprintln(notify(), line)) },
	"exit":   func(status string) { os.Exit(number(status)) },
	"deaf":   func(string) { signal.Ignore(syscall.SIGTERM) },
	"obey":   obey,
	"write":  func(name string) { check(os.WriteFile(name, []byte("state\n"), 0o600)) },
	"read":   func(name string) { text, err := os.ReadFile(name); check(err); fmt.Printf("%s: %s", name, text) },
	"exists": exists,
	"child":  child,
	"open":   open,
	"spin": func(string) {
		go func() {
			for {
				_ = bytes.Repeat([]byte("x"), 100)
			}
		}()
	}, //nolint
	"flood": func(line string) {
		for {
			fmt.Fprintln(notify(), line)
		}
	},
	"segfail": func(string) { check(syscall.Kill(os.Getpid(), syscall.SIGSEGV)); panic("still here") },
	"unset":   func(name string) { check(os.Unsetenv(name)) },
}

// notify is the pipe to gilgul.
func notify() *os.File { return os.NewFile(uintptr(number(os.Getenv("RUNA_NOTIFY_FD"))), "notify") }

// obey says something when it is asked to end, and ends.
func obey(words string) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	go func() {
		<-asked
		fmt.Println(words)
		os.Exit(0)
	}()
}

func exists(name string) {
	_, err := os.Stat(name)
	fmt.Printf("%s exists: %v\n", name, err == nil)
}

// child leaves a process behind that ends only when it is killed and holds
// everything open.
func child(string) {
	c := exec.Command("/proc/self/exe", "deaf")
	c.Stdout, c.Stderr, c.ExtraFiles = os.Stdout, os.Stderr, []*os.File{notify()}
	check(c.Start())
}

// opened keeps files from being closed.
var opened []*os.File

// open opens files until the last descriptor is the one before that number: so many are
// open in all, less what Go itself had open for a moment.
func open(count string) {
	for last := 0; last+1 < number(count); {
		f, err := os.Open("/dev/null")
		check(err)
		opened = append(opened, f)
		last = int(f.Fd())
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	check(err)
	return n
}

func must(_ int, err error) { check(err) }

func check(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "player:", err)
	os.Exit(99)
}
