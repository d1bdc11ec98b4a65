// llama-server without what reads pictures, sound and film (tools/mtmd): it is
// made for measuring with text. The first four it calls whatever its model is; to
// call another is a mistake and ends it.
#include <cstdlib>

#include "mtmd.h"
#include "mtmd-helper.h"

void mtmd_helper_log_set(ggml_log_callback, void *) {}

mtmd_helper_init_opt mtmd_helper_init_opt_default() { return {}; }
mtmd_context_params mtmd_context_params_default() { return {}; }
void mtmd_free(mtmd_context *) {} // of nullptr: no context can be made

std::map<ggml_backend_dev_t, size_t> mtmd_get_memory_usage(const char *, mtmd_context_params) { std::abort(); }

#define NONE(name) extern "C" [[noreturn]] void no_##name() __asm__(#name); void no_##name() { std::abort(); }
NONE(mtmd_batch_add_chunk)
NONE(mtmd_batch_encode)
NONE(mtmd_batch_free)
NONE(mtmd_batch_get_output_embd)
NONE(mtmd_batch_init)
NONE(mtmd_bitmap_free)
NONE(mtmd_get_cap_from_file)
NONE(mtmd_helper_bitmap_init_from_buf)
NONE(mtmd_helper_decode_image_chunk)
NONE(mtmd_helper_support_video)
NONE(mtmd_helper_video_free)
NONE(mtmd_init_from_file)
NONE(mtmd_input_chunk_copy)
NONE(mtmd_input_chunk_free)
NONE(mtmd_input_chunk_get_id)
NONE(mtmd_input_chunk_get_n_pos)
NONE(mtmd_input_chunk_get_n_tokens)
NONE(mtmd_input_chunk_get_placeholder)
NONE(mtmd_input_chunk_get_tokens_text)
NONE(mtmd_input_chunk_get_type)
NONE(mtmd_input_chunk_load)
NONE(mtmd_input_chunk_save)
NONE(mtmd_input_chunks_free)
NONE(mtmd_input_chunks_get)
NONE(mtmd_input_chunks_init)
NONE(mtmd_input_chunks_size)
NONE(mtmd_support_audio)
NONE(mtmd_support_vision)
NONE(mtmd_tokenize)
