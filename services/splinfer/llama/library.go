//lint:file-ignore U1000 the structs are laid out as ggml.h has them, used or not
package llama

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/ebitengine/purego"

	"runa/services/hint"
)

// functions are the C functions of llama.h and ggml-backend.h in use. The
// field tag names the C symbol; Go signatures follow purego's type table.
type functions struct {
	loadBackends func(dir string)                                                                                 `c:"ggml_backend_load_all_from_path"`
	backendReg   func(name string) uintptr                                                                        `c:"ggml_backend_reg_by_name"`
	procAddress  func(reg uintptr, name string) uintptr                                                           `c:"ggml_backend_reg_get_proc_address"`
	poolParams   func(params *threadpoolParams, threads int32)                                                    `c:"ggml_threadpool_params_init"`
	logSet       func(callback, userData uintptr)                                                                 `c:"llama_log_set"`
	version      func() string                                                                                    `c:"llama_version"`
	systemInfo   func() string                                                                                    `c:"llama_print_system_info"`
	backendInit  func()                                                                                           `c:"llama_backend_init"`
	modelDefault func() modelParams                                                                               `c:"llama_model_default_params"`
	ctxDefault   func() contextParams                                                                             `c:"llama_context_default_params"`
	modelLoad    func(path string, p modelParams) uintptr                                                         `c:"llama_model_load_from_file"`
	modelFree    func(model uintptr)                                                                              `c:"llama_model_free"`
	modelDesc    func(model uintptr, buf *byte, size uintptr) int32                                               `c:"llama_model_desc"`
	ctxTrain     func(model uintptr) int32                                                                        `c:"llama_model_n_ctx_train"`
	modelBytes   func(model uintptr) uint64                                                                       `c:"llama_model_size"`
	embeddingN   func(model uintptr) int32                                                                        `c:"llama_model_n_embd_out"`
	recurrent    func(model uintptr) bool                                                                         `c:"llama_model_is_recurrent"`
	hybrid       func(model uintptr) bool                                                                         `c:"llama_model_is_hybrid"`
	maxSequences func() uintptr                                                                                   `c:"llama_max_parallel_sequences"`
	hasEncoder   func(model uintptr) bool                                                                         `c:"llama_model_has_encoder"`
	hasDecoder   func(model uintptr) bool                                                                         `c:"llama_model_has_decoder"`
	chatTemplate func(model uintptr, name *byte) string                                                           `c:"llama_model_chat_template"`
	getVocab     func(model uintptr) uintptr                                                                      `c:"llama_model_get_vocab"`
	vocabType    func(vocab uintptr) int32                                                                        `c:"llama_vocab_type"`
	vocabSize    func(vocab uintptr) int32                                                                        `c:"llama_vocab_n_tokens"`
	isEOG        func(vocab uintptr, t Token) bool                                                                `c:"llama_vocab_is_eog"`
	suppress     func(vocab uintptr, n *int32) *Token                                                             `c:"llama_vocab_get_suppress_tokens"`
	tokenize     func(v uintptr, text *byte, n int32, out *Token, max int32, addSpecial, parseSpecial bool) int32 `c:"llama_tokenize"`
	detokenize   func(v uintptr, tokens *Token, n int32, out *byte, max int32, removeSpecial, unparse bool) int32 `c:"llama_detokenize"`
	toPiece      func(v uintptr, t Token, buf *byte, size, lstrip int32, special bool) int32                      `c:"llama_token_to_piece"`
	applyChat    func(template string, chat *chatMessage, n uintptr, assistant bool, buf *byte, size int32) int32 `c:"llama_chat_apply_template"`
	ctxNew       func(model uintptr, p contextParams) uintptr                                                     `c:"llama_init_from_model"`
	ctxFree      func(ctx uintptr)                                                                                `c:"llama_free"`
	ctxSize      func(ctx uintptr) uint32                                                                         `c:"llama_n_ctx_seq"`
	attachPool   func(ctx, pool, batchPool uintptr)                                                               `c:"llama_attach_threadpool"`
	detachPool   func(ctx uintptr)                                                                                `c:"llama_detach_threadpool"`
	setThreads   func(ctx uintptr, threads, batchThreads int32)                                                   `c:"llama_set_n_threads"`
	getMemory    func(ctx uintptr) uintptr                                                                        `c:"llama_get_memory"`
	memoryClear  func(memory uintptr, data bool)                                                                  `c:"llama_memory_clear"`
	memoryRemove func(memory uintptr, sequence, from, to int32) bool                                              `c:"llama_memory_seq_rm"`
	memoryCopy   func(memory uintptr, source, target, from, to int32)                                             `c:"llama_memory_seq_cp"`
	memoryLast   func(memory uintptr, sequence int32) int32                                                       `c:"llama_memory_seq_pos_max"`
	stateSize    func(ctx uintptr, sequence int32) uintptr                                                        `c:"llama_state_seq_get_size"`
	stateGet     func(ctx uintptr, out *byte, size uintptr, sequence int32) uintptr                               `c:"llama_state_seq_get_data"`
	stateSet     func(ctx uintptr, in *byte, size uintptr, sequence int32) uintptr                                `c:"llama_state_seq_set_data"`
	poolingType  func(ctx uintptr) int32                                                                          `c:"llama_pooling_type"`
	embeddingSeq func(ctx uintptr, sequence int32) *float32                                                       `c:"llama_get_embeddings_seq"`
	adapterInit  func(model uintptr, path string) uintptr                                                         `c:"llama_adapter_lora_init"`
	adapterFree  func(adapter uintptr)                                                                            `c:"llama_adapter_lora_free"`
	adaptersSet  func(ctx uintptr, adapters *uintptr, n uintptr, scales *float32) int32                           `c:"llama_set_adapters_lora"`
	quantDefault func() quantizeParams                                                                            `c:"llama_model_quantize_default_params"`
	quantize     func(in, out string, params *quantizeParams) uint32                                              `c:"llama_model_quantize"`
	decode       func(ctx uintptr, b batch) int32                                                                 `c:"llama_decode"`
	synchronize  func(ctx uintptr)                                                                                `c:"llama_synchronize"`
	logits       func(ctx uintptr, i int32) *float32                                                              `c:"llama_get_logits_ith"`
	apply        func(sampler uintptr, candidates *tokenDataArray)                                                `c:"llama_sampler_apply"`
	accept       func(sampler uintptr, t Token)                                                                   `c:"llama_sampler_accept"`
	samplerFree  func(sampler uintptr)                                                                            `c:"llama_sampler_free"`
	grammar      func(vocab uintptr, text, root string) uintptr                                                   `c:"llama_sampler_init_grammar"`
}

// threadpoolParams is struct ggml_threadpool_params of ggml.h.
type threadpoolParams struct {
	cpumask   [maxThreads]bool
	nThreads  int32
	priority  int32
	poll      uint32
	strictCPU bool
	paused    bool
	_         [2]byte
}

// Library is llama.cpp, opened and checked. There is one per process: its log
// callback and its backends are global in C.
type Library struct {
	c       functions
	version string
	system  string
	strlen  uintptr // address of libc's strlen; see Context.Abort
	poolNew func(*threadpoolParams) uintptr
	poolEnd func(uintptr)
}

// LogFunc receives one line that llama.cpp printed while it loaded or ran.
// Level is ggml's: 1 debug, 2 info, 3 warning, 4 error.
type LogFunc func(level int, line string)

// Open loads libggml-base, libggml and libllama from dir, the CPU backend that
// fits this machine best, and checks that the libraries are the release this
// package was written for. Messages of llama.cpp go to log, which may be nil.
// A second call in one process opens the same libraries and replaces log.
func Open(dir string, log LogFunc) (*Library, error) {
	if runtime.GOOS != "linux" || (runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64") {
		return nil, fmt.Errorf("open llama.cpp: %s/%s is not supported", runtime.GOOS, runtime.GOARCH)
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open llama.cpp in %s: %w", dir, err)
	}
	handles, err := openLibraries(absolute)
	if err != nil {
		return nil, err
	}
	l := &Library{}
	if err := bindSymbols(&l.c, handles); err != nil {
		return nil, fmt.Errorf("open llama.cpp in %s: %w", dir, err)
	}
	setLog(l, log)
	if err := checkABI(l, handles); err != nil {
		err = fmt.Errorf("open llama.cpp in %s: %w", dir, err)
		return nil, hint.New(err, "install the llama.cpp %s libraries there; this program was written for exactly that release", Release)
	}
	if l.strlen, err = lookup(handles, "strlen"); err != nil {
		return nil, fmt.Errorf("open llama.cpp in %s: %w", dir, err)
	}
	l.c.loadBackends(absolute)
	l.c.backendInit()
	cpu := l.c.backendReg("CPU")
	if cpu == 0 {
		err := fmt.Errorf("open llama.cpp in %s: no libggml-cpu library there runs on this processor", dir)
		return nil, hint.New(err, "put all libggml-cpu-*.so of the same build beside libllama")
	}
	l.bindThreadpool(cpu)
	l.system = strings.TrimSpace(l.c.systemInfo())
	return l, nil
}

// Version is what llama_version says, e.g. "0.5.0".
func (l *Library) Version() string { return l.version }

// SystemInfo names the backends and processor features in use.
func (l *Library) SystemInfo() string { return l.system }

// openLibraries opens the three libraries in the order of their dependencies,
// so that each finds the one before already loaded.
func openLibraries(dir string) ([]uintptr, error) {
	var handles []uintptr
	for _, stem := range []string{"ggml-base", "ggml", "llama"} {
		path, err := findLibrary(dir, stem)
		if err != nil {
			return nil, err
		}
		handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
		handles = append(handles, handle)
	}
	return handles, nil
}

// findLibrary returns libSTEM.so or libSTEM.vRELEASE.so in dir.
func findLibrary(dir, stem string) (string, error) {
	names := []string{"lib" + stem + ".v" + Release + ".so", "lib" + stem + ".so"}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	err := fmt.Errorf("open llama.cpp in %s: neither %s nor %s is there", dir, names[0], names[1])
	return "", hint.New(err, "name the folder of the llama.cpp %s libraries with --libraries", Release)
}

func lookup(handles []uintptr, name string) (uintptr, error) {
	for i := len(handles) - 1; i >= 0; i-- {
		if address, err := purego.Dlsym(handles[i], name); err == nil && address != 0 {
			return address, nil
		}
	}
	return 0, fmt.Errorf("function %s is missing", name)
}

// bindThreadpool looks up the functions that live in the CPU backend's library.
func (l *Library) bindThreadpool(cpu uintptr) {
	create := l.c.procAddress(cpu, "ggml_threadpool_new")
	free := l.c.procAddress(cpu, "ggml_threadpool_free")
	if create == 0 || free == 0 {
		return
	}
	purego.RegisterFunc(&l.poolNew, create)
	purego.RegisterFunc(&l.poolEnd, free)
}
