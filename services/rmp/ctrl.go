package rmp

// ActionPing asks a service whether it does its work.
const ActionPing = "ping"

// CtrlRequest (schema 2001) asks a service about itself.
type CtrlRequest struct {
	Action string `msgpack:"action"`
}

// CtrlResponse (schema 2002) is its answer. It never carries a person's words.
type CtrlResponse struct {
	OK     bool   `msgpack:"ok"`
	Reason string `msgpack:"reason,omitempty"` // why not
}
