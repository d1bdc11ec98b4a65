//lint:file-ignore U1000 the structs are laid out as llama.h has them, used or not
package llama

// The structs below mirror llama.h and ggml.h of llama.cpp v0.5.0 field by
// field, with C's padding written out. Sizes on 64-bit Linux are in the
// comments and are checked by a test and, against the library, by checkABI.

// Release is the llama.cpp release whose header these structs mirror.
const Release = "0.5.0"

// modelParams is struct llama_model_params, 80 bytes.
type modelParams struct {
	devices                  uintptr
	tensorBuftOverrides      uintptr
	nGPULayers               int32
	splitMode                int32
	loadMode                 int32
	lazyMode                 int32
	mainGPU                  int32
	_                        int32
	tensorSplit              uintptr
	progressCallback         uintptr
	progressCallbackUserData uintptr
	kvOverrides              uintptr
	vocabOnly                bool
	checkTensors             bool
	useExtraBufts            bool
	noHost                   bool
	noAlloc                  bool
	loadMTP                  bool
	_                        uint16
}

// contextParams is struct llama_context_params, 160 bytes.
type contextParams struct {
	nCtx              uint32
	nBatch            uint32
	nUbatch           uint32
	nSeqMax           uint32
	nRsSeq            uint32
	nOutputsMax       uint32
	nOutputsMaxPerSeq uint32
	nThreads          int32
	nThreadsBatch     int32
	ctxType           int32
	ropeScalingType   int32
	poolingType       int32
	attentionType     int32
	flashAttnType     int32
	ropeFreqBase      float32
	ropeFreqScale     float32
	yarnExtFactor     float32
	yarnAttnFactor    float32
	yarnBetaFast      float32
	yarnBetaSlow      float32
	yarnOrigCtx       uint32
	defragThold       float32
	cbEval            uintptr
	cbEvalUserData    uintptr
	typeK             int32
	typeV             int32
	abortCallback     uintptr
	abortCallbackData uintptr
	embeddings        bool
	offloadKQV        bool
	noPerf            bool
	opOffload         bool
	swaFull           bool
	kvUnified         bool
	_                 uint16
	samplers          uintptr
	nSamplers         uintptr
	ctxOther          uintptr
}

// batch is struct llama_batch, 56 bytes.
type batch struct {
	nTokens int32
	_       int32
	token   *Token
	embd    uintptr
	pos     *int32
	nSeqID  *int32
	seqID   **int32
	logits  *int8
}

// tokenData is llama_token_data, 12 bytes.
type tokenData struct {
	id    Token
	logit float32
	p     float32
}

// tokenDataArray is llama_token_data_array, 32 bytes. Samplers may point data
// elsewhere, so it is read through this pointer after they ran.
type tokenDataArray struct {
	data     *tokenData
	size     uintptr
	selected int64
	sorted   bool
	_        [7]byte
}

// quantizeParams is struct llama_model_quantize_params, 64 bytes.
type quantizeParams struct {
	nThread              int32
	ftype                int32
	outputTensorType     int32
	tokenEmbeddingType   int32
	allowRequantize      bool
	quantizeOutputTensor bool
	onlyCopy             bool
	pure                 bool
	keepSplit            bool
	dryRun               bool
	_                    [2]byte
	imatrix              uintptr
	kvOverrides          uintptr
	ttOverrides          uintptr
	pruneLayers          uintptr
	maxBufferSize        uintptr
}

// chatMessage is llama_chat_message, 16 bytes: two C strings.
type chatMessage struct {
	role    *byte
	content *byte
}

const (
	poolingNone  = 0   // LLAMA_POOLING_TYPE_NONE
	poolingRank  = 4   // LLAMA_POOLING_TYPE_RANK
	typeCount    = 43  // GGML_TYPE_COUNT, which stands for "as the file type says"
	loadModeMmap = 1   // LLAMA_LOAD_MODE_MMAP
	typeF16      = 1   // GGML_TYPE_F16
	vocabNone    = 0   // LLAMA_VOCAB_TYPE_NONE
	decodeFull   = 1   // llama_decode: no slot in the KV cache
	decodeAbort  = 2   // llama_decode: the abort callback said so
	maxThreads   = 512 // GGML_MAX_N_THREADS
)
