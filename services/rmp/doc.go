// Package rmp owns RMP version 0, the one wire format of every message in Runa:
// its frame, its order of checks, its registry of schemas and the Go types of
// the payloads. It moves bytes to values and back; it must never open a
// connection, read a clock, choose an identifier or drop a message by itself.
//
// # The frame
//
// All integers are big-endian.
//
//	u32 frame_len | 64-byte header | MsgPack body      frame_len = 64 + body_len
//
//	off size field           rule
//	  0    4 magic           "RMP0"
//	  4    2 header_version  0
//	  6    2 header_len      64
//	  8    4 flags           0
//	 12    2 schema_id       in the table of schema.go
//	 14    2 reserved2       0
//	 16    4 body_len        frame_len - 64, at most 8 MiB
//	 20    8 created_at_ms   sender's clock, milliseconds since 1970
//	 28    8 ttl_ms          not 0; created + ttl fits 64 bits
//	 36   16 trace_id        end to end
//	 52    8 msg_id          monotonic per publisher
//	 60    4 reserved4       0
//
// The body is a MsgPack map with the keys type, payload and, optionally, meta,
// in that order. Encode writes shortest forms. Decode insists on the keys and
// their order, reads any MsgPack form of a length or an integer, and keeps
// payload and meta as the bytes they came in, so that what a newer program put
// into them survives passing through an older one.
//
// # What a receiver may rely on
//
// Decode allocates nothing in proportion to what a body claims: payload and
// meta are parts of the input, every length is checked against the bytes that
// are there, and nesting beyond MaxDepth is refused. Frame.Unmarshal refuses a
// payload of more than MaxItems values. Reader takes memory only as bytes arrive.
package rmp
