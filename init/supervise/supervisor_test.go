package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"runa/init/lifecycle"
	"runa/init/manifest"
	"runa/services/hint"
)

// A scene is a supervisor of services on a fake system within a bubble.
type scene struct {
	*testing.T
	*fakeSystem
	*Supervisor
	ended chan error
}

// play runs a test in a bubble with services given as "name needs x,y wants z
// and further manifest changes".
func play(t *testing.T, options func(*Options), services []manifest.Service, test func(s *scene)) {
	synctest.Test(t, func(t *testing.T) {
		sorted, errs := manifest.Order(services)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		fake := newFake()
		o := Options{System: fake}
		if options != nil {
			options(&o)
		}
		s := &scene{t, fake, New(sorted, o), make(chan error, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { s.ended <- s.Supervisor.Run(ctx) }()
		synctest.Wait()
		test(s)
		cancel()
		synctest.Wait()
	})
}

func declare(name string, change ...func(*manifest.Service)) manifest.Service {
	s := manifest.Defaults(name)
	s.Ready.By = manifest.ByNotify
	for _, c := range change {
		c(&s)
	}
	return s
}

func needs(names ...string) func(*manifest.Service) {
	return func(s *manifest.Service) { s.Needs = names }
}

func wants(names ...string) func(*manifest.Service) {
	return func(s *manifest.Service) { s.Wants = names }
}

// expect compares the diary and the states ("name state reason; ...").
func (s *scene) expect(diary string, states ...string) {
	s.Helper()
	synctest.Wait()
	if got := s.page(); got != diary {
		s.Errorf("diary: got %q, want %q", got, diary)
	}
	var got []string
	for _, one := range s.Status() {
		got = append(got, strings.TrimSpace(one.Name+" "+one.State+" "+one.Reason))
	}
	if len(states) > 0 && !slices.Equal(got, states) {
		s.Errorf("got  %q\nwant %q", got, states)
	}
}

func (s *scene) allReady() bool {
	select {
	case <-s.AllReady():
		return true
	default:
		return false
	}
}

func TestServicesStartInOrderAsWhatTheyNeedGetsReady(t *testing.T) {
	list := []manifest.Service{declare("chat", needs("infer", "memory")), declare("infer", needs("bus")), declare("memory", needs("bus")), declare("bus")}
	play(t, nil, list, func(s *scene) {
		s.expect("spawn bus", "bus starting started on request", "infer waiting waiting for bus (starting)",
			"memory waiting waiting for bus (starting)", "chat waiting waiting for infer (waiting)")
		s.ready("bus")
		s.expect("spawn infer, spawn memory")
		s.ready("memory")
		s.expect("")
		if s.allReady() {
			s.Error("ready too early")
		}
		s.ready("infer")
		s.expect("spawn chat")
		s.ready("chat")
		s.expect("", "bus ready", "infer ready", "memory ready", "chat ready")
		if !s.allReady() {
			s.Error("not all ready")
		}
	})
}

func TestALostNeedIsSaidAndNobodyElseIsStopped(t *testing.T) {
	list := []manifest.Service{declare("bus"), declare("infer", needs("bus"))}
	play(t, nil, list, func(s *scene) {
		s.ready("bus")
		synctest.Wait()
		s.ready("infer")
		s.expect("spawn bus, spawn infer", "bus ready", "infer ready")
		s.end("bus", "exited with status 2 after 5 ms")
		s.expect("spawn bus", "bus starting exited with status 2 after 5 ms", "infer ready bus is starting, which it needs")
		s.ready("bus")
		s.expect("", "bus ready", "infer ready")
	})
}

func TestAServiceThatExitsAtOnceBacksOffVisibly(t *testing.T) {
	patient := func(s *manifest.Service) {
		s.Ready.By, s.OnFailure.Ladder = manifest.ByNone, []manifest.Rung{manifest.RungRestart, manifest.RungBackoff}
	}
	play(t, nil, []manifest.Service{declare("a", patient)}, func(s *scene) {
		s.expect("spawn a", "a ready")
		s.end("a", "exited with status 1 after 0 ms")
		s.expect("spawn a", "a ready")
		for _, wait := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			s.end("a", "exited with status 1 after 0 ms")
			s.expect("", "a backoff exited with status 1 after 0 ms")
			if got := time.Until(s.Status()[0].NextStart); got != wait*time.Second {
				s.Errorf("next start in %v, want %d s", got, wait)
			}
			time.Sleep(wait*time.Second - time.Nanosecond)
			s.expect("")
			time.Sleep(time.Nanosecond)
			s.expect("spawn a", "a ready")
		}
		if got := s.Status()[0]; got.Restarts != 8 || !got.NextStart.IsZero() {
			s.Errorf("%+v", got)
		}
		time.Sleep(time.Minute) // stable
		s.expect("")
		s.end("a", "exited with status 1 after 60 s")
		s.expect("spawn a", "a ready")
	})
}

func TestAServiceThatDoesNotGetReadyIsStoppedAndTriedAgain(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a")}, func(s *scene) {
		s.deaf["a"] = true
		s.expect("spawn a")
		time.Sleep(30 * time.Second)
		s.expect("signal a", "a stopping not ready after 30s")
		time.Sleep(10 * time.Second)
		s.expect("kill a, spawn a", "a starting not ready after 30s; killed: it did not end within 10s")
	})
}

func TestAServiceThatCannotBeSpawnedIsTriedAgain(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a")}, func(s *scene) {
		s.end("a", "exited with status 0 after 1 ms")
		s.expect("spawn a, spawn a", "a starting exited with status 0 after 1 ms, before it was ready")
		s.broken["a"] = true
		s.end("a", "exited with status 1 after 1 ms")
		time.Sleep(time.Second)
		s.expect("spawn a", "a backoff not started: no memory")
	})
}

func TestShutdownGoesBackwardsAndKillsTheDeaf(t *testing.T) {
	list := []manifest.Service{declare("bus"), declare("infer", needs("bus")), declare("chat", needs("infer")), declare("clock", wants("chat"))}
	play(t, nil, list, func(s *scene) {
		for _, name := range []string{"bus", "infer", "chat", "clock"} {
			s.ready(name)
			synctest.Wait()
		}
		s.page()
		s.deaf["infer"] = true
		began := time.Now()
		if err := s.Shutdown(s.Context()); err != nil {
			s.Error(err)
		}
		s.expect("signal clock, signal chat, signal infer, kill infer, signal bus", "bus defined stopped on request",
			"infer defined stopped on request; killed: it did not end within 10s", "chat defined stopped on request", "clock defined stopped on request")
		if took := time.Since(began); took != 10*time.Second {
			s.Errorf("took %v", took)
		}
		if err := <-s.ended; err != nil {
			s.Errorf("run: %v", err)
		}
		if err := s.Start("bus"); !errors.Is(err, ErrShuttingDown) {
			s.Errorf("start after the end: %v", err)
		}
	})
}

func TestShutdownInAHurryKillsAll(t *testing.T) {
	list := []manifest.Service{declare("bus"), declare("infer", needs("bus"))}
	play(t, nil, list, func(s *scene) {
		s.ready("bus")
		synctest.Wait()
		s.deaf["infer"], s.deaf["bus"] = true, true
		s.page()
		ctx, cancel := context.WithTimeout(s.Context(), time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			s.Error(err)
		}
		s.expect("signal infer, signal bus, kill bus, kill infer")
	})
}

func TestShutdownWhileThingsBackOffOrWaitOrSpawnEnds(t *testing.T) {
	list := []manifest.Service{declare("bad"), declare("waits", needs("bad")), declare("late")}
	play(t, nil, list, func(s *scene) {
		s.end("bad", "exited with status 1 after 1 ms")
		synctest.Wait()
		s.end("bad", "exited with status 1 after 1 ms")
		s.expect("spawn bad, spawn late, spawn bad", "bad backoff exited with status 1 after 1 ms, before it was ready",
			"late starting started on request", "waits waiting waiting for bad (backoff)")
		if err := s.Shutdown(s.Context()); err != nil {
			s.Error(err)
		}
		s.expect("signal late", "bad defined stopped on request", "late defined stopped on request", "waits defined stopped on request")
	})
}

func TestShutdownNamesWhatCannotBeKilled(t *testing.T) {
	play(t, nil, []manifest.Service{declare("stuck")}, func(s *scene) {
		s.deaf["stuck"] = true
		report := s.reports["stuck"]
		go func() {
			time.Sleep(time.Second)
			report(Report{Event: lifecycle.Event{Kind: lifecycle.Unkillable, Reason: "killed, but process 7 cannot be killed"}})
		}()
		if err := s.Shutdown(s.Context()); err == nil || err.Error() != "end all services: stuck cannot be killed" {
			s.Error(err)
		}
		s.expect("spawn stuck, signal stuck", "stuck failed killed, but process 7 cannot be killed")
	})
}

func TestRequestsOfAPerson(t *testing.T) {
	list := []manifest.Service{declare("bus"), declare("infer", needs("bus"))}
	play(t, nil, list, func(s *scene) {
		s.ready("bus")
		synctest.Wait()
		s.ready("infer")
		s.expect("spawn bus, spawn infer")
		for _, request := range []struct {
			do    func(string) error
			name  string
			diary string
		}{{s.Restart, "bus", "signal bus, spawn bus"}, {s.Stop, "bus", "signal bus"}, {s.Stop, "infer", "signal infer"}, {s.Start, "infer", "spawn bus"}} {
			if err := request.do(request.name); err != nil {
				s.Error(err)
			}
			s.expect(request.diary)
		}
		s.expect("", "bus starting started on request", "infer waiting waiting for bus (starting)")
		err := s.Stop("ghost")
		if !errors.Is(err, ErrUnknown) || hint.Of(err) != "the services are: bus, infer" {
			s.Errorf("%v (%s)", err, hint.Of(err))
		}
	})
}

func TestAWantedServiceGoesFirstOnlyIfItComes(t *testing.T) {
	list := []manifest.Service{declare("a", wants("b", "ghost")), declare("b", needs("c")), declare("c")}
	play(t, nil, list, func(s *scene) {
		s.expect("spawn c", "c starting started on request", "b waiting waiting for c (starting)", "a waiting waiting for b (waiting), which it wants first")
		s.end("c", "exited with status 1 after 1 ms")
		s.expect("spawn c")
		s.end("c", "exited with status 1 after 1 ms") // c backs off: b is not coming
		s.expect("spawn a")
	})
}

func TestServicesWithDataWaitForIt(t *testing.T) {
	withData := func(s *manifest.Service) { s.Data = true }
	play(t, nil, []manifest.Service{declare("a", withData)}, func(s *scene) {
		s.expect("", "a waiting waiting for /data")
		s.DataReady(errors.New("bad superblock"))
		s.expect("", "a waiting waiting for /data: bad superblock")
		s.DataReady(nil)
		s.expect("spawn a")
	})
}

func TestReadinessByTheBus(t *testing.T) {
	keys := map[string]chan struct{}{}
	var forgot []string
	options := func(o *Options) {
		keys["service/a/ready"] = make(chan struct{}) // of this bubble
		o.ForgetBusKey = func(key string) error { forgot = append(forgot, key); return nil }
		o.WaitBusKey = func(ctx context.Context, key string) error {
			select {
			case <-keys[key]:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	byBus := func(s *manifest.Service) { s.Ready.By = manifest.ByBus }
	play(t, options, []manifest.Service{declare("a", byBus)}, func(s *scene) {
		s.expect("spawn a", "a starting started on request")
		keys["service/a/ready"] <- struct{}{}
		s.expect("", "a ready")
		s.end("a", "exited with status 1 after 1 ms")
		s.expect("spawn a")
		if want := []string{"service/a/ready", "service/a/ready"}; !slices.Equal(forgot, want) {
			s.Errorf("forgot %q", forgot)
		}
	})
	play(t, nil, []manifest.Service{declare("a", byBus)}, func(s *scene) {
		s.expect("", "a backoff not started: it gets ready by the bus, and there is no bus")
	})
}

func TestAReportOfAnEarlierLifeIsNotHeard(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a")}, func(s *scene) {
		old := s.reports["a"]
		s.end("a", "exited with status 1 after 1 ms")
		s.expect("spawn a, spawn a")
		old(Report{Event: lifecycle.Event{Kind: lifecycle.BecameReady}})
		old(Report{Event: lifecycle.Event{Kind: lifecycle.Exited, Reason: "again"}})
		s.expect("", "a starting exited with status 1 after 1 ms, before it was ready")
	})
}

func TestEveryChangeIsToldInOrder(t *testing.T) {
	var told []string
	options := func(o *Options) {
		o.OnChange = func(c Change) { told = append(told, fmt.Sprint(c.Service, " ", c.State)) }
	}
	play(t, options, []manifest.Service{declare("a")}, func(s *scene) {
		events, cancel := s.Events()
		defer cancel()
		s.ready("a")
		synctest.Wait()
		if want := []string{"a waiting", "a starting", "a ready"}; !slices.Equal(told, want) {
			s.Errorf("told %q", told)
		}
		if c := <-events; c.State != "ready" || c.PID == 0 || c.Lost != 0 {
			s.Errorf("%+v", c)
		}
	})
}

func TestASlowSubscriberLosesTheOldestAndIsTold(t *testing.T) {
	var b broadcast
	feed, cancel := b.subscribe()
	for i := range subscriberRoom + 10 {
		b.publish(Change{PID: i})
	}
	var lost uint64
	var last, count int
	cancel()
	for c := range feed {
		lost += c.Lost
		last = c.PID
		count++
	}
	if count != subscriberRoom || lost != 10 || last != subscriberRoom+9 {
		t.Fatalf("%d changes, %d lost, last %d", count, lost, last)
	}
	b.publish(Change{})
	b.close()
	if late, _ := b.subscribe(); len(late) != 0 {
		t.Fatal("a stream after the end")
	}
}

func TestReasonsAreInPlainWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{endReason(1<<8, 12*time.Millisecond), "exited with status 1 after 12 ms"},
		{endReason(9, 3200*time.Millisecond), "killed by signal 9 (SIGKILL) after 3.2 s"},
		{endReason(11|0x80, 90*time.Minute), "killed by signal 11 (SIGSEGV) after 1h30m0s"},
		{outOfMemoryReason(768<<20, time.Minute), "out of memory: killed by the kernel at its limit 768 MiB after 1m0s"},
		{outOfMemoryReason(0, time.Second), "out of memory: killed by the kernel after 1.0 s"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
