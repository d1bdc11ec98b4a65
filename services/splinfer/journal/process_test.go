package journal

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const childVariable = "RUNA_JOURNAL_TEST_FOLDER"

// TestMain makes the test's program, started again, one that appends and says
// so until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		fmt.Println(child(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func child(dir string) error {
	s, err := Open(dir, Options{})
	if err != nil {
		return err
	}
	c, err := s.Conversation("a")
	if err != nil {
		return err
	}
	for i := int32(0); ; i++ {
		if err := c.Append(Run{[]Drawn{{i, 0}}}); err != nil {
			return err
		}
		fmt.Println(i)
		if i == 100 {
			if err := c.SaveState(50, saying("state")); err != nil {
				return err
			}
		}
	}
}

func TestWhatAKilledProcessAppendedIsThereAndItsFolderIsFree(t *testing.T) {
	dir := t.TempDir()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childVariable+"="+dir)
	out, err := command.StdoutPipe()
	must(t, err)
	must(t, command.Start())
	lines := bufio.NewScanner(out)
	last := ""
	for lines.Scan() && lines.Text() != "500" {
		last = lines.Text()
	}
	if last != "499" {
		t.Fatalf("the process said %q", last)
	}
	_, err = Open(dir, Options{})
	wants(t, err, ErrBusy)
	must(t, command.Process.Kill())
	_, _ = io.Copy(io.Discard, out)
	_ = command.Wait()

	s, err := Open(dir, Options{})
	must(t, err)
	defer s.Close()
	if found, err := s.List(); err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	c := conversation(t, s, "a")
	tokens := c.Tokens()
	if len(tokens) < 501 {
		t.Fatalf("%d tokens", len(tokens))
	}
	for i, token := range tokens {
		if int(token) != i {
			t.Fatalf("token %d is %d", i, token)
		}
	}
	if n, got, err := state(c); err != nil || n != 50 || got != "state" {
		t.Fatalf("%d %q %v", n, got, err)
	}
}

func TestAFolderIsOpenOnce(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	must(t, err)
	_, err = Open(dir, Options{})
	wants(t, err, ErrBusy)
	must(t, s.Close())
	s, err = Open(dir, Options{})
	must(t, err)
	must(t, s.Close())
}

func TestNobodyElseMayReadAConversation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "conversations")
	s, err := Open(dir, Options{})
	must(t, err)
	defer s.Close()
	must(t, with(t, s, "a", 3).SaveState(1, saying("x")))
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		info, err := d.Info()
		if must(t, err); info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		return nil
	}))
}

func TestWhatIsNoRegularFileIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(t.TempDir(), "other")
	must(t, os.WriteFile(other, []byte("mine"), 0o600))
	must(t, os.Symlink(other, filepath.Join(dir, "link.journal")))
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo.journal"), 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "folder.journal"), 0o700))
	s, err := Open(dir, Options{})
	must(t, err)
	defer s.Close()
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("listed %v, %v", list, err)
	}
	for _, id := range []string{"link", "fifo", "folder"} {
		if _, err := s.Conversation(id); err == nil {
			t.Errorf("%s was opened", id)
		}
	}
	if b, _ := os.ReadFile(other); string(b) != "mine" {
		t.Errorf("%q", b)
	}
}

// A real file, cut at each byte.
func TestARealFileCutAtAnyByteIsAPrefix(t *testing.T) {
	all := []Record{Prompt{[]int32{1, 2}}, Run{[]Drawn{{3, 0}}}, End{"stop"}}
	frames, places := header(), []place{}
	for i, r := range all {
		var err error
		frames, err = appendFrame(frames, int64(len(frames)), r)
		must(t, err)
		places = append(places, place{int64(len(frames)), i + 1})
	}
	dir := t.TempDir()
	for end := range int64(len(frames)) {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("a%d.journal", end)), frames[:end], 0o600))
	}
	s, err := Open(dir, Options{})
	must(t, err)
	for end := range int64(len(frames)) {
		c := conversation(t, s, fmt.Sprintf("a%d", end))
		if got := records(t, c); !equal(got, all[:before(places, end)]) {
			t.Fatalf("cut at byte %d: %s", end, kinds(got))
		}
	}
	must(t, s.Close())
}

func TestNoWordIsInAnErrorOrALogRecord(t *testing.T) {
	var log strings.Builder
	m := newMemory()
	s := openMemory(t, m, Options{Log: logTo(&log), Bytes: 300, Now: clock()})
	const word = 31337
	errs := []error{}
	try := func(err error) { errs = append(errs, err) }
	c := conversation(t, s, "a")
	must(t, c.Append(Prompt{[]int32{word}}))
	try(c.Append(Whisper{[]int32{word, -word}}))
	try(c.Append(Mask{Index: 9, ID: word}))
	try(c.Append(Begin{Model: "m", Parameters: []byte(`{"grammar":"31337`)}))
	try(c.Append(End{strings.Repeat("31337", 50)}))
	must(t, c.SaveState(1, saying("31337")))
	must(t, c.Sync())
	must(t, c.Append(Run{[]Drawn{{word, 0}}}))
	must(t, c.Close())
	m.names["a.journal"].data[30] ^= 1
	m.names["a.state"].data[70] ^= 1
	_, err := s.Conversation("a")
	try(err)
	_, err = s.Recover()
	must(t, err)
	_, err = s.Salvage("a")
	must(t, err)
	c = conversation(t, s, "a")
	must(t, c.Append(Prompt{[]int32{word}}))
	_, _, err = state(c)
	try(err)
	for _, err := range errs {
		if err == nil || strings.Contains(err.Error(), "31337") {
			t.Errorf("error %v", err)
		}
	}
	if log.Len() == 0 || strings.Contains(log.String(), "31337") {
		t.Errorf("log %s", log.String())
	}
}
