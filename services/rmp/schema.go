package rmp

// Identifiers of the schemas that Runa's own code sends; the table below is the
// home of all of them. Runa's own take 16-127 that are free, and 128-1023 by component.
const (
	SchemaErrorReport          uint16 = 10   // Report
	SchemaGenerate             uint16 = 16   // Generate
	SchemaToken                uint16 = 17   // Token
	SchemaDone                 uint16 = 18   // Done
	SchemaModelsRequest        uint16 = 19   // ModelsRequest
	SchemaModels               uint16 = 20   // Models
	SchemaEviction             uint16 = 21   // Eviction
	SchemaQueued               uint16 = 22   // Queued
	SchemaNotice               uint16 = 23   // Notice
	SchemaEmbedRequest         uint16 = 24   // EmbedRequest
	SchemaEmbeddings           uint16 = 25   // Embeddings
	SchemaModelAction          uint16 = 26   // ModelAction
	SchemaProgress             uint16 = 27   // Progress
	SchemaStatsRequest         uint16 = 28   // StatsRequest
	SchemaStats                uint16 = 29   // Stats
	SchemaConversationsRequest uint16 = 30   // ConversationsRequest
	SchemaConversations        uint16 = 31   // Conversations
	SchemaHookBegin            uint16 = 128  // HookBegin
	SchemaHookToken            uint16 = 129  // HookToken
	SchemaHookVerdict          uint16 = 130  // HookVerdict
	SchemaHookEnd              uint16 = 131  // HookEnd
	SchemaCtrlRequest          uint16 = 2001 // CtrlRequest
	SchemaCtrlResponse         uint16 = 2002 // CtrlResponse
	SchemaBusDropNotice        uint16 = 3007 // DropNotice
)

// Schema is one row of the registry: a message type and its number on the wire.
type Schema struct {
	ID   uint16
	Type string // <family>.<kind>.v<N>
	Doc  string
}

var registry = []Schema{
	{1, "observation.generic.v1", "something seen, of no closer kind"},
	{2, "intent.generic.v1", "something wanted, of no closer kind"},
	{3, "intent.tool_call.v1", "a tool is to be called"},
	{4, "toolresult.generic.v1", "what a tool gave"},
	{5, "artifact.generic.v1", "a thing made"},
	{6, "critique.generic.v1", "a judgement of a thing made"},
	{7, "statedelta.generic.v1", "a change of state"},
	{8, "observation.run.event.v1", "an event in the life of a run"},
	{9, "intent.control.v1", "start, stop or change a run"},
	{SchemaErrorReport, "error.report.v1", "a request failed: code, message, hint (Report)"},
	{SchemaGenerate, "intent.infer.generate.v1", "continue a conversation or a text (Generate)"},
	{SchemaToken, "observation.infer.token.v1", "one token of an answer (Token)"},
	{SchemaDone, "toolresult.infer.done.v1", "an answer has ended (Done)"},
	{SchemaModelsRequest, "intent.infer.models.v1", "which models are there (ModelsRequest)"},
	{SchemaModels, "toolresult.infer.models.v1", "the models that are there (Models)"},
	{SchemaEviction, "statedelta.bus.evicted.v1", "the bus gave up a key because space was short (Eviction)"},
	{SchemaQueued, "observation.infer.queued.v1", "how many are before a request that waits (Queued)"},
	{SchemaNotice, "observation.infer.notice.v1", "a remark for who waits (Notice)"},
	{SchemaEmbedRequest, "intent.infer.embed.v1", "make vectors of texts (EmbedRequest)"},
	{SchemaEmbeddings, "toolresult.infer.embeddings.v1", "the vectors (Embeddings)"},
	{SchemaModelAction, "intent.infer.model.v1", "load, unload, add, requantize or remove a model (ModelAction)"},
	{SchemaProgress, "observation.infer.progress.v1", "how far a long action is (Progress)"},
	{SchemaStatsRequest, "intent.infer.stats.v1", "how busy is inference (StatsRequest)"},
	{SchemaStats, "toolresult.infer.stats.v1", "counts and speeds (Stats)"},
	{SchemaConversationsRequest, "intent.infer.conversations.v1", "which conversations are kept, or delete one (ConversationsRequest)"},
	{SchemaConversations, "toolresult.infer.conversations.v1", "the conversations that are kept (Conversations)"},
	{100, "observation.agent.hello.v1", "a client opens a stream"},
	{101, "observation.runtime.hello.v1", "the server grants what it grants"},
	{102, "intent.init.v1", "an agent is to begin"},
	{110, "intent.hostcall.request.v1", "a sandbox calls its host"},
	{111, "toolresult.hostcall.response.v1", "the host's answer"},
	{SchemaHookBegin, "intent.hook.begin.v1", "an answer begins: judge its prompt (HookBegin)"},
	{SchemaHookToken, "intent.hook.token.v1", "judge a token before anybody gets it (HookToken)"},
	{SchemaHookVerdict, "critique.hook.verdict.v1", "what may become of a prompt or a token (HookVerdict)"},
	{SchemaHookEnd, "statedelta.hook.end.v1", "an answer is over, or can't be judged any more (HookEnd)"},
	{200, "intent.contacts.resolve.v1", "find a contact"},
	{201, "toolresult.contacts.resolved.v1", "the contact found"},
	{210, "intent.context.gather.v1", "gather context"},
	{211, "observation.context.bundle.v1", "the context gathered"},
	{220, "intent.draft.write.v1", "write a draft"},
	{221, "artifact.draft.email.v1", "a draft of a mail"},
	{230, "intent.review.draft.v1", "review a draft"},
	{231, "critique.review.v1", "the review"},
	{240, "intent.send.mail.v1", "send a mail"},
	{241, "toolresult.mail.result.v1", "what became of the mail"},
	{SchemaCtrlRequest, "intent.ctrl.request.v1", "a service is asked about itself (CtrlRequest)"},
	{SchemaCtrlResponse, "toolresult.ctrl.response.v1", "what it says of itself (CtrlResponse)"},
	{3001, "observation.metrics.snapshot.v1", "metrics at one instant"},
	{3002, "observation.opening.event.v1", "an event of an opening"},
	{3003, "observation.trace.line.v1", "a line of a trace"},
	{3004, "observation.agent.log.v1", "a log line of an agent"},
	{3005, "intent.action.request.v1", "an action that asks for consent"},
	{3006, "toolresult.action.decision.v1", "the consent given or refused"},
	{SchemaBusDropNotice, "error.bus.drop.notice.v1", "frames were dropped, and why (DropNotice)"},
	{4000, "intent.executor.agent.request.v1", "an executor is to run an agent"},
	{4001, "toolresult.executor.agent.response.v1", "what the agent gave"},
}

// rowOf is the registry's row + 1 of every number; every frame is looked up in it.
var rowOf = func() (rows [1 << 12]uint8) {
	for i, s := range registry {
		rows[s.ID] = uint8(i + 1)
	}
	return rows
}()

// Schemas returns the registry in ascending order of ID.
func Schemas() []Schema { return append([]Schema(nil), registry...) }

// LookupSchema returns the row of id.
func LookupSchema(id uint16) (Schema, bool) {
	if int(id) >= len(rowOf) || rowOf[id] == 0 {
		return Schema{}, false
	}
	return registry[rowOf[id]-1], true
}
