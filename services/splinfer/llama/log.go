package llama

import (
	"slices"
	"strings"
	"sync"

	"github.com/ebitengine/purego"
)

// messages is where llama.cpp's messages go: it has one log callback for the
// whole process, and C callbacks are never released, so one is made once.
var messages struct {
	mu       sync.Mutex
	sink     LogFunc
	muted    int        // calls under way whose messages are dropped
	watchers []*LogFunc // calls under way that want to see messages too
}

var logCallback = purego.NewCallback(receiveLog)

func setLog(l *Library, log LogFunc) {
	messages.mu.Lock()
	messages.sink = log
	messages.mu.Unlock()
	l.c.logSet(logCallback, 0)
}

// muteLog drops llama.cpp's messages until the returned function is called; it
// is used around calls whose messages would repeat a person's words.
func muteLog() (restore func()) {
	add := func(n int) {
		messages.mu.Lock()
		defer messages.mu.Unlock()
		messages.muted += n
	}
	add(1)
	return func() { add(-1) }
}

// watchLog gives watch every message until the returned function is called,
// beside the library's sink. Calls of other goroutines are seen too.
func watchLog(watch LogFunc) (restore func()) {
	messages.mu.Lock()
	defer messages.mu.Unlock()
	messages.watchers = append(messages.watchers, &watch)
	return func() {
		messages.mu.Lock()
		defer messages.mu.Unlock()
		messages.watchers = slices.DeleteFunc(messages.watchers, func(w *LogFunc) bool { return w == &watch })
	}
}

// levelError is GGML_LOG_LEVEL_ERROR.
const levelError = 4

// collectErrors keeps the last error line that llama.cpp prints during a call.
func collectErrors(reason *string) (restore func()) {
	*reason = "no reason given"
	return watchLog(func(level int, line string) {
		if level >= levelError {
			*reason = line
		}
	})
}

func receiveLog(level int32, text *byte, _ uintptr) uintptr {
	line := strings.TrimSpace(goString(text))
	if strings.Trim(line, ".") == "" {
		return 0
	}
	if sink := showWatchers(int(level), line); sink != nil {
		sink(int(level), line)
	}
	return 0
}

// showWatchers returns the sink, to be called without the lock: it is not ours.
func showWatchers(level int, line string) LogFunc {
	messages.mu.Lock()
	defer messages.mu.Unlock()
	if messages.muted > 0 {
		return nil
	}
	for _, watch := range messages.watchers {
		(*watch)(level, line)
	}
	return messages.sink
}
