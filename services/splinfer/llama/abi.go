package llama

import (
	"fmt"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// probe is a struct larger than any of llama.h's parameter structs, so that a
// library whose struct has grown writes into room that is there.
type probe struct {
	word [64]uint64
}

// checkABI compares the library with the header this package mirrors: the
// release it names, the default value of every field of the parameter
// structs, and that nothing is written beyond their end. The structs change in
// their middle between releases, and a mismatch found later is a crash.
func checkABI(l *Library, handles []uintptr) error {
	l.version = l.c.version()
	if l.version != Release && !strings.HasPrefix(l.version, Release+"-") {
		return fmt.Errorf("check ABI: the library is llama.cpp %q, want %q", l.version, Release)
	}
	var model, context, quantize probe
	for name, p := range map[string]*probe{
		"llama_model_default_params":          &model,
		"llama_context_default_params":        &context,
		"llama_model_quantize_default_params": &quantize,
	} {
		address, err := lookup(handles, name)
		if err != nil {
			return fmt.Errorf("check ABI: %w", err)
		}
		var call func() probe
		purego.RegisterFunc(&call, address)
		*p = call()
	}
	if err := compareDefaults("llama_model_params", model, expectedModelParams()); err != nil {
		return err
	}
	if err := compareDefaults("llama_context_params", context, expectedContextParams()); err != nil {
		return err
	}
	if err := compareDefaults("llama_model_quantize_params", quantize, expectedQuantizeParams()); err != nil {
		return err
	}
	return nil
}

// compareDefaults compares word by word what the library wrote with what the
// header promises; want's bytes lie at the front of a zeroed probe.
func compareDefaults[T any](name string, got probe, want T) error {
	var expected probe
	*(*T)(unsafe.Pointer(&expected)) = want
	for i := range got.word {
		if got.word[i] != expected.word[i] {
			return fmt.Errorf("check ABI: default %s differs at byte %d: %#x, want %#x (size %d)",
				name, i*8, got.word[i], expected.word[i], unsafe.Sizeof(want))
		}
	}
	return nil
}

// expectedModelParams are the values of llama_model_default_params in v0.5.0.
func expectedModelParams() modelParams {
	return modelParams{nGPULayers: -1, splitMode: 1, loadMode: -1, lazyMode: 1, useExtraBufts: true}
}

// expectedContextParams are the values of llama_context_default_params in v0.5.0.
func expectedContextParams() contextParams {
	return contextParams{
		nCtx: 512, nBatch: 2048, nUbatch: 512, nSeqMax: 1, nOutputsMaxPerSeq: 1,
		nThreads: 4, nThreadsBatch: 4,
		ropeScalingType: -1, poolingType: -1, attentionType: -1, flashAttnType: -1,
		yarnExtFactor: -1, yarnAttnFactor: -1, yarnBetaFast: -1, yarnBetaSlow: -1, defragThold: -1,
		typeK: typeF16, typeV: typeF16,
		offloadKQV: true, noPerf: true, opOffload: true, swaFull: true,
	}
}

// expectedQuantizeParams are the values of llama_model_quantize_default_params in v0.5.0.
func expectedQuantizeParams() quantizeParams {
	return quantizeParams{
		ftype: 7, outputTensorType: typeCount, tokenEmbeddingType: typeCount,
		quantizeOutputTensor: true, maxBufferSize: 8 << 30,
	}
}
