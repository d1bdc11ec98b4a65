package runa_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"runa/init/control"
)

// startGilgul is the script command `gilgul well|ill|full|online`: the other side of the
// control API, in the process that runs the scripts. They differ in the state
// they report. What it was asked to change is appended to the file changes.
func startGilgul(script *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) != 1 {
		script.Fatalf("usage: gilgul well|ill|full|online")
	}
	status := wellStatus()
	switch args[0] {
	case "ill":
		status = illStatus()
	case "online":
		status = onlineStatus()
	case "full":
		status.Data.FreeBytes = 100 << 10
	}
	path := script.Getenv("RUNA_CONTROL")
	_ = os.Remove(path) // of the gilgul before
	listener, err := net.Listen("unix", path)
	script.Check(err)
	server := &http.Server{Handler: gilgulAPI(status, script.MkAbs("changes"))}
	go func() { _ = server.Serve(listener) }()
	script.Defer(func() { server.Close() })
}

func gilgulAPI(status control.Status, changes string) http.Handler {
	api := http.NewServeMux()
	api.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(status)
	})
	api.HandleFunc("GET /v1/logs", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("service") != "splinfer" {
			refuse(w, http.StatusNotFound, "no service "+r.FormValue("service"), "runa status lists them")
			return
		}
		for _, line := range []control.LogLine{
			{Time: noon, Service: "splinfer", Text: "model loaded \x1b[31mtwice"},
			{Time: noon.Add(time.Second), Service: "splinfer", Text: "lines=" + r.FormValue("lines"), Lost: 7},
		} {
			_ = json.NewEncoder(w).Encode(line)
		}
	})
	api.HandleFunc("POST /v1/services/{name}/{action}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("name") == "nobody" {
			refuse(w, http.StatusNotFound, "no service nobody", "runa status lists them")
			return
		}
		record(changes, r.PathValue("action")+" "+r.PathValue("name"))
	})
	gilgulEvents(api)
	gilgulNet(api, status, changes)
	api.HandleFunc("POST /v1/services/{name}/update", func(w http.ResponseWriter, r *http.Request) {
		record(changes, "update "+r.PathValue("name")+" "+filepath.Base(r.FormValue("program")))
	})
	api.HandleFunc("POST /v1/power/{action}", func(_ http.ResponseWriter, r *http.Request) {
		record(changes, "power "+r.PathValue("action"))
	})
	return api
}

func gilgulEvents(api *http.ServeMux) {
	happened := []control.Event{
		{Time: noon, Service: "splinter", State: "ready", PID: 50},
		{
			Time: noon.Add(time.Second), Service: "splinfer", State: "backoff", Reason: "no heart-beat for 2s",
			Class: "hang", Rung: "back-off", Restarts: 2, Version: "3f2a91c0", Lost: 4,
		},
		{Time: noon.Add(2 * time.Second), Service: "splinfer", State: "ready", PID: 61, Restarts: 2, Version: "3f2a91c0"},
	}
	api.HandleFunc("GET /v1/events", func(w http.ResponseWriter, r *http.Request) {
		for _, event := range happened {
			if wanted := r.FormValue("service"); wanted == "" || wanted == event.Service {
				_ = json.NewEncoder(w).Encode(event)
			}
		}
		if r.FormValue("follow") == "true" {
			_ = json.NewEncoder(w).Encode(control.Event{Time: noon.Add(time.Minute), Service: "dream", State: "done", Reason: "\x1b[2Jit \x07followed"})
		}
	})
	api.HandleFunc("GET /v1/services/{name}/explain", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("name") != "splinfer" {
			refuse(w, http.StatusNotFound, "no service "+r.PathValue("name"), "runa status lists them")
			return
		}
		_ = json.NewEncoder(w).Encode(control.Explanation{
			Service: "splinfer", State: "ready",
			What: "splinfer stopped giving signs of life at 12:00:01.",
			Why:  "It did not answer for 2s, which is two of its heart-beats.",
			Done: "It was killed and started again; it has been ready since 12:00:02.", Events: happened[1:],
		})
	})
}

func gilgulNet(api *http.ServeMux, status control.Status, changes string) {
	api.HandleFunc("GET /v1/net", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(control.NetStatus{Interfaces: status.Interfaces, Consents: status.Consents})
	})
	api.HandleFunc("GET /v1/net/explain", func(w http.ResponseWriter, r *http.Request) {
		d, _ := time.ParseDuration(r.FormValue("for"))
		if r.FormValue("interface") != "eth0" {
			refuse(w, http.StatusNotFound, "no interface "+r.FormValue("interface"), "runa net lists them")
			return
		}
		_ = json.NewEncoder(w).Encode(control.NetExplanation{
			Interface: "eth0", For: d, Token: "T0KEN",
			Reachable: []string{"This machine can be reached by everything on the wire of eth0.", "No service is connected to it."},
		})
	})
	api.HandleFunc("POST /v1/net/allow", func(w http.ResponseWriter, r *http.Request) {
		var request control.NetRequest
		if json.NewDecoder(r.Body).Decode(&request) != nil || request.Token != "T0KEN" {
			refuse(w, http.StatusConflict, "this was not explained to you", "")
			return
		}
		record(changes, fmt.Sprintf("allow %s for %v", request.Interface, request.For))
		_ = json.NewEncoder(w).Encode(control.Consent{Interface: request.Interface, Since: noon, Until: noon.Add(request.For)})
	})
	api.HandleFunc("POST /v1/net/off", func(w http.ResponseWriter, r *http.Request) {
		record(changes, "off "+r.FormValue("interface"))
	})
}

// onlineStatus is all well, with a network that the owner allowed, a new version on
// probation and a past full of faults.
func onlineStatus() control.Status {
	status := wellStatus()
	status.Services[1].Version, status.Services[1].Probation = "3f2a91c0", true
	status.Services[0].Version = "77aa01b2"
	status.Interfaces[0].Up = true
	status.Consents = []control.Consent{{Interface: "eth0", Since: noon, Until: noon.Add(2 * time.Minute), By: "uid 1000"}}
	status.Faults = map[string]uint64{"exit": 1, "hang": 12, "signal": 1, "spin": 0}
	status.Pressure = control.Pressure{CPU: 12.4, Memory: 0.3, IO: 2}
	status.NotConfined = []string{"this kernel has no Landlock"}
	return status
}

func refuse(w http.ResponseWriter, code int, message, hint string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": message, "hint": hint})
}

func record(path, change string) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	fmt.Fprintln(file, change)
}

func wellStatus() control.Status {
	return control.Status{
		Version: "1.2.3", Kernel: "6.12.57", Uptime: 90 * time.Second, ReadyAfter: 1250 * time.Millisecond,
		Services: []control.ServiceStatus{
			{Name: "splinter", State: "ready", PID: 50, Since: noon, MemoryBytes: 3 << 20},
			{Name: "splinfer", State: "ready", PID: 51, Since: noon.Add(20 * time.Second), Restarts: 1, MemoryBytes: 120 << 20},
		},
		Data:       control.DataStatus{Mounted: true, Device: "/dev/vda3", SizeBytes: 1536 << 20, FreeBytes: 1200 << 20},
		Interfaces: []control.InterfaceStatus{{Name: "eth0", Kind: "device"}},
	}
}

func illStatus() control.Status {
	status := wellStatus()
	status.ReadyAfter = 0
	status.Services = append(status.Services, control.ServiceStatus{
		Name: "crasher", State: "backoff", Reason: "exited with status 1", Since: noon.Add(29 * time.Second),
		Restarts: 4, NextStart: noon.Add(38 * time.Second), Class: "exit", Rung: "back-off", Failures: 4,
	}, control.ServiceStatus{
		Name: "tieto", State: "degraded", Reason: "2 of 9 documents cannot be read", Since: noon, MemoryBytes: 9 << 20,
	})
	status.Data = control.DataStatus{Reason: "bad superblock on /dev/vda3"}
	status.Interfaces[0].Up = true
	status.Problems = []control.Problem{{
		What: "/etc/runa/services/x.yaml:2:1", Why: `unknown key "exce"`, Hint: "did you mean exec?",
	}}
	return status
}
