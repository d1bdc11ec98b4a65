package runa_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"runa/init/control"
)

// startGilgul is the script command `gilgul well|ill|full`: the other side of the
// control API, in the process that runs the scripts. They differ in the state
// they report. What it was asked to change is appended to the file changes.
func startGilgul(script *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) != 1 {
		script.Fatalf("usage: gilgul well|ill|full")
	}
	status := wellStatus()
	switch args[0] {
	case "ill":
		status = illStatus()
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
	api.HandleFunc("POST /v1/power/{action}", func(_ http.ResponseWriter, r *http.Request) {
		record(changes, "power "+r.PathValue("action"))
	})
	return api
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
		Restarts: 4, NextStart: noon.Add(38 * time.Second),
	})
	status.Data = control.DataStatus{Reason: "bad superblock on /dev/vda3"}
	status.Interfaces[0].Up = true
	status.Problems = []control.Problem{{
		What: "/etc/runa/services/x.yaml:2:1", Why: `unknown key "exce"`, Hint: "did you mean exec?",
	}}
	return status
}
