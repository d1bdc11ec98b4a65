// Command splinfer is Runa's inference service: it answers requests on the bus
// with a local language model. See services/splinfer.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/alecthomas/kong"
	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"runa/services/hint"
	"runa/services/splinfer"
	"runa/services/splinfer/llama"
	"runa/services/supervised"
)

const description = `Answers requests on Runa's bus with a local language model (GGUF, run by llama.cpp).

Examples:
  splinfer --model stories15m
  splinfer --models ./models --libraries ./llama --bus /tmp/bus --temp 0
  splinfer --model tinyllama --ctx-size 1024 --threads 2 --top-k 20

The names of flags are llama.cpp's own. It runs until it gets SIGTERM.`

type arguments struct {
	Model        string               `help:"Default model's name, without .gguf; the first sound one in the alphabet if not given." placeholder:"NAME"`
	Models       string               `help:"Folder of the models (${default})." default:"/data/models" placeholder:"DIR"`
	Libraries    string               `help:"Folder of the llama.cpp libraries (${default})." default:"/usr/lib/llama" placeholder:"DIR"`
	Bus          string               `help:"The bus (${default})." default:"/run/runa/bus" env:"RUNA_BUS" placeholder:"PATH"`
	CtxSize      int                  `help:"Tokens of prompt and answer together; cut to what the model was trained with (${default})." default:"2048" placeholder:"N"`
	Threads      int                  `help:"Threads for one token; 0: processors less one." default:"0" placeholder:"N"`
	ThreadsBatch int                  `help:"Threads for many tokens; 0: as --threads." default:"0" placeholder:"N"`
	BatchSize    int                  `help:"Most prompt tokens given to llama.cpp at once (${default})." default:"2048" placeholder:"N"`
	UbatchSize   int                  `help:"Most tokens computed at once (${default})." default:"512" placeholder:"N"`
	Parallel     int                  `help:"Conversations that are computed at once; fewer where memory is short (${default})." default:"4" placeholder:"N"`
	FlashAttn    llama.FlashAttention `help:"Flash attention, on, off or auto: faster, but an answer may depend on what else is computed; auto takes it where weights have under 8 bits and that is so anyway (${default})." default:"auto" placeholder:"WHEN"`
	Data         string               `help:"Folder of conversations and of models that are added; under gilgul the service's own, else none." placeholder:"DIR"`
	Import       string               `help:"Folder of files that may be added as models; the folder import beside --data if not given." placeholder:"DIR"`
	Personas     string               `help:"Folder of personas (${default})." default:"/usr/share/runa/personas" placeholder:"DIR"`
	Hook         string               `help:"Name on the bus of the service that judges every token before it is shown; while it is away nothing is answered." placeholder:"NAME"`
	Queue        int                  `help:"Most requests that wait; more are told that splinfer is busy (${default})." default:"64" placeholder:"N"`
	LogLevel     string               `help:"Least level of log records." default:"info" enum:"debug,info,warn,error"`
}

// measureArguments are those of the hidden command "splinfer measure", which
// `make bench` runs beside llama-bench.
type measureArguments struct {
	arguments
	Prompt   int  `help:"Tokens of the prompt test." default:"512"`
	Generate int  `help:"Tokens of the generation test." default:"128"`
	Runs     int  `help:"Runs of each test." default:"5"`
	JSON     bool `help:"Print JSON." name:"json"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout); err != nil {
		hint.Print(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, env func(string) string, stdout io.Writer) error {
	parameters := splinfer.NewFlags()
	if len(args) > 0 && args[0] == "measure" {
		var m measureArguments
		if err := parse(&m, parameters, args[1:], stdout); err != nil {
			return err
		}
		o, err := m.options(parameters)
		if err != nil {
			return err
		}
		return m.measure(o, stdout)
	}
	var a arguments
	if err := parse(&a, parameters, args, stdout); err != nil {
		return err
	}
	o, err := a.options(parameters)
	if err != nil {
		return err
	}
	gilgul, err := supervised.FromEnvironment(env)
	if err != nil {
		return err
	}
	if a.Data == "" && gilgul.Service() != "" {
		a.Data = env("HOME") // gilgul makes it the service's own folder
	}
	a.keep(&o)
	return splinfer.Run(ctx, a.Bus, o, gilgul)
}

func parse(into any, parameters splinfer.Flags, args []string, stdout io.Writer) error {
	parser, err := kong.New(into, kong.Name("splinfer"), kong.Description(description),
		kong.Embed(parameters.Struct()), kong.Writers(stdout, os.Stderr))
	if err != nil {
		return err
	}
	if _, err := parser.Parse(args); err != nil {
		return hint.New(err, "splinfer --help lists the flags")
	}
	return nil
}

func (a arguments) options(parameters splinfer.Flags) (splinfer.Options, error) {
	for name, n := range map[string]int{"--ctx-size": a.CtxSize, "--batch-size": a.BatchSize, "--ubatch-size": a.UbatchSize, "--queue": a.Queue, "--parallel": a.Parallel} {
		if n < 1 || n > 1<<22 {
			return splinfer.Options{}, fmt.Errorf("read %s: %d is not within 1 to %d", name, n, 1<<22)
		}
	}
	for name, n := range map[string]int{"--threads": a.Threads, "--threads-batch": a.ThreadsBatch} {
		if n < 0 || n > 512 {
			return splinfer.Options{}, fmt.Errorf("read %s: %d is not within 0 to 512", name, n)
		}
	}
	defaults, err := parameters.Values()
	if err != nil {
		return splinfer.Options{}, err
	}
	log, err := logger(a.LogLevel)
	if err != nil {
		return splinfer.Options{}, err
	}
	return splinfer.Options{
		Libraries: a.Libraries, Models: a.Models, Model: a.Model, Context: a.CtxSize,
		Threads: a.Threads, ThreadsBatch: a.ThreadsBatch, Batch: a.BatchSize, MicroBatch: a.UbatchSize,
		Queue: a.Queue, Parallel: a.Parallel, FlashAttention: a.FlashAttn, HookName: a.Hook, Defaults: defaults, Log: log, Now: time.Now, Random: rand.Uint32,
		Available: func() (uint64, error) { return splinfer.AvailableMemory("/") },
		Pressure: func() splinfer.Pressure {
			p := splinfer.ReadPressure("/")
			if a.Threads > 0 { // they were asked for
				p.CPU = 0
			}
			return p
		},
	}, nil
}

// keep says where what is kept lies.
func (a arguments) keep(o *splinfer.Options) {
	o.Personas = a.Personas
	if _, err := os.Stat(o.Personas); err != nil {
		o.Personas = ""
	}
	if a.Data == "" {
		return
	}
	o.Conversations, o.Added = filepath.Join(a.Data, "conversations"), filepath.Join(a.Data, "models")
	o.Imports = a.Import
	if o.Imports == "" {
		o.Imports = filepath.Join(filepath.Dir(a.Data), "import")
	}
}

// logger writes to a duplicate of standard error: descriptor 2 itself is
// turned away for moments, see llama's captureStandardError.
func logger(level string) (hclog.Logger, error) {
	descriptor, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return hclog.New(&hclog.LoggerOptions{
		Name: "splinfer", Level: hclog.LevelFromString(level), Output: os.NewFile(uintptr(descriptor), "log"),
	}), nil
}

func (a measureArguments) measure(o splinfer.Options, stdout io.Writer) error {
	results, err := splinfer.Measure(o, filepath.Join(a.Models, a.Model+".gguf"), a.Prompt, a.Generate, a.Runs)
	if err != nil {
		return err
	}
	if a.JSON {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(results)
	}
	for _, r := range results {
		fmt.Fprintf(stdout, "%-8s %d threads %10.1f ± %.1f tokens/s\n", r.Test, r.Threads, r.PerSecond, r.Deviation)
	}
	return nil
}
