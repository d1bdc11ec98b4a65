package qemutests

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheConsoleDropsEscapesAlsoWhenTheyAreCut(t *testing.T) {
	var plain plainText
	var got []byte
	for _, piece := range []string{"a\x1b", "[1;3", "1mb\r\n", "\x1b[0", "mc\x1bcd"} {
		got = plain.append(got, []byte(piece))
	}
	if string(got) != "ab\ncd" {
		t.Fatalf("got %q", got)
	}
	for _, piece := range []string{" a note...", "\r\x1b", "[Kdone\r\n"} {
		got = plain.append(got, []byte(piece))
	}
	if string(got) != "ab\ndone\n" {
		t.Fatalf("a line that is rewritten became %q", got)
	}
}

// fakeLine is a console whose other end the test holds.
func fakeLine(t *testing.T) (*Console, net.Conn) {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return newConsole(t, ours, io.Discard, func() string { return "" }), theirs
}

func TestRunSeparatesOutputFromTheEchoOfTheLine(t *testing.T) {
	console, guest := fakeLine(t)
	go func() {
		typed := make([]byte, 1024)
		n, _ := guest.Read(typed)
		fmt.Fprintf(guest, "$ %s", strings.ReplaceAll(string(typed[:n]), "\n", "\r\n"))
		fmt.Fprintf(guest, "RUNA-BEGIN-1\r\none\r\ntwo\r\nRUNA-END-1-4\r\n$ ")
	}()
	output, status := console.Run("something", 5*time.Second)
	if output != "one\ntwo" || status != 4 {
		t.Fatalf("got %q and status %d", output, status)
	}
}

func TestAwaitGivesUpAtItsLimitAndAtTheConsolesEnd(t *testing.T) {
	console, guest := fakeLine(t)
	if _, _, err := console.await(pattern("never"), time.Millisecond); err == nil || !strings.Contains(err.Error(), "not seen within 1ms") {
		t.Fatalf("got %v", err)
	}
	guest.Close()
	if _, _, err := console.await(pattern("never"), time.Minute); err == nil || !strings.Contains(err.Error(), "console ended") {
		t.Fatalf("got %v", err)
	}
}

func TestTheMonitorSkipsEventsAndReportsErrors(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		commands := json.NewDecoder(theirs)
		fmt.Fprint(theirs, `{"QMP": {"version": {}}}`)
		for _, answer := range []string{
			`{"return": {}}`,
			`{"event": "RESUME"}{"return": {"status": "running"}}`,
			`{"error": {"class": "GenericError", "desc": "no button"}}`,
		} {
			var command any
			if commands.Decode(&command) != nil {
				return
			}
			fmt.Fprint(theirs, answer)
		}
	}()
	monitor, err := newMonitor(ours)
	if err != nil {
		t.Fatal(err)
	}
	if status, err := monitor.Status(); status != "running" || err != nil {
		t.Fatalf("got %q, %v", status, err)
	}
	if err := monitor.PowerButton(); err == nil || !strings.Contains(err.Error(), "no button") {
		t.Fatalf("got %v", err)
	}
}

func TestFramesAreCountedAndACutCaptureIsAnError(t *testing.T) {
	header := "\xd4\xc3\xb2\xa1" + strings.Repeat("\x00", 20)
	frame := strings.Repeat("\x00", 8) + "\x02\x00\x00\x00\x02\x00\x00\x00ab"
	for content, want := range map[string]int{header: 0, header + frame + frame: 2, header + frame[:17]: -1, "": -1} {
		path := filepath.Join(t.TempDir(), "all.pcap")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Frames(path)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("got %d frames (%v), want %d", got, err, want)
		}
	}
}
