package llama

import (
	"sync"

	"github.com/ebitengine/purego"
)

// loads are the loads under way that want to hear of their progress, by the
// number that C hands back as user data.
var loads struct {
	mu   sync.Mutex
	last uintptr
	by   map[uintptr]*progress
}

// progressCallback is made once: callbacks are never released.
var progressCallback = purego.NewCallback(func(part float32, load uintptr) uintptr {
	loads.mu.Lock()
	p := loads.by[load]
	loads.mu.Unlock()
	if p == nil || p.tell(part) {
		return 1
	}
	p.stopped = true
	return 0
})

// progress is one load under way.
type progress struct {
	tell    func(part float32) bool
	number  uintptr
	stopped bool
}

// beginProgress makes params report to tell, which may be nil.
func beginProgress(tell func(float32) bool, params *modelParams) *progress {
	p := &progress{tell: tell}
	if tell == nil {
		return p
	}
	loads.mu.Lock()
	defer loads.mu.Unlock()
	if loads.by == nil {
		loads.by = map[uintptr]*progress{}
	}
	loads.last++
	p.number = loads.last
	loads.by[p.number] = p
	params.progressCallback, params.progressCallbackUserData = progressCallback, p.number
	return p
}

func (p *progress) aborted() bool { return p.stopped }

func (p *progress) end() {
	loads.mu.Lock()
	defer loads.mu.Unlock()
	delete(loads.by, p.number)
}
