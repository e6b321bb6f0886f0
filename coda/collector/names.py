"""Every name that coda gives to spans, attributes and metrics, pinned in one table.

Guarantee: nothing leaves coda under a name that is not here, and a test compares the table with what is
really emitted, so that a dashboard built on these names does not break by accident. The GenAI names follow
the semantic conventions for generative AI at the version of `SCHEMA_URL` (all `gen_ai.*` are in
development there); `code.*`, `error.*`, `exception.*`, `server.*` are stable names of the general registry.
Strings elsewhere in the collector would let a typing error become a new name in somebody's backend.
"""

from __future__ import annotations

SCHEMA_URL = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev"
"""The pinned version of the conventions; it stands on our instrumentation scope."""

SCOPE = "coda"

# --- attributes of the conventions ---------------------------------------------------------------

OPERATION = "gen_ai.operation.name"
AGENT_NAME = "gen_ai.agent.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
ERROR_TYPE = "error.type"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"
CODE_FILE = "code.file.path"
CODE_FUNCTION = "code.function.name"
CODE_LINE = "code.line.number"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
FILE_PATH = "file.path"
FILE_SIZE = "file.size"
PROCESS_NAME = "process.executable.name"
PROCESS_ARGS = "process.command_args"
PROCESS_EXIT = "process.exit.code"

# --- our own -------------------------------------------------------------------------------------

RUN = "coda.run.id"
RUN_KIND = "coda.run.kind"
OUTCOME = "coda.outcome"
SEQ = "coda.seq"
FIRST = "coda.event.first"
LAST = "coda.event.last"
EVENT_COUNT = "coda.event.count"
EVENT_TYPE = "coda.event.type"
TURN = "coda.turn"
BLOCK = "coda.block"
LINES = "coda.lines"
EFFECT = "coda.effect"
FORK = "coda.fork"
PARENT_RUN = "coda.parent.run"
PARENT_SEQ = "coda.parent.seq"
POSITION = "coda.position"
CTX_NAME = "coda.ctx.name"
CTX_VALUE = "coda.ctx.value"
NAME = "coda.name"
VALUE = "coda.value"
VIA = "coda.via"
RENAMED_TO = "coda.file.to"
ROLLUP = "coda.rollup"
ROLLUP_COUNTS = "coda.rollup.counts"
INCOMPLETE = "coda.incomplete"
TASK = "coda.task"
SOURCE = "coda.source"
ANSWER = "coda.answer"

ATTRIBUTES: dict[str, str] = {
    OPERATION: "invoke_agent, chat or execute_tool",
    AGENT_NAME: "what ran: the program or module; left out for an agent without a name",
    REQUEST_MODEL: "the model that was asked",
    RESPONSE_MODEL: "the model that answered",
    FINISH_REASONS: "why the model stopped",
    INPUT_TOKENS: "tokens of the request",
    OUTPUT_TOKENS: "tokens of the reply",
    INPUT_MESSAGES: "content: messages that are new in this request",
    OUTPUT_MESSAGES: "content: the reply",
    SYSTEM_INSTRUCTIONS: "content: the system prompt",
    TOOL_NAME: "the tool or primitive; `python` for a block",
    TOOL_TYPE: "function",
    TOOL_ARGUMENTS: "content: arguments of the call; the source of a block is `coda.source`",
    TOOL_RESULT: "content: what the call returned",
    ERROR_TYPE: "type of the exception, or the outcome, when it failed",
    EXCEPTION_TYPE: "qualified name of the exception",
    EXCEPTION_MESSAGE: "its message, masked",
    EXCEPTION_STACKTRACE: "its traceback, masked; the end of it when it is long",
    CODE_FILE: "file of the agent code",
    CODE_FUNCTION: "function path; left out at module level",
    CODE_LINE: "1-based line",
    SERVER_ADDRESS: "where a connection went",
    SERVER_PORT: "and its port",
    FILE_PATH: "path as in the log",
    FILE_SIZE: "bytes",
    PROCESS_NAME: "name of the executable",
    PROCESS_ARGS: "content: the command line",
    PROCESS_EXIT: "exit status",
    RUN: "run id",
    RUN_KIND: "exec, run or sandbox",
    OUTCOME: "how the run or block ended",
    SEQ: "first event of the span; number of the event",
    FIRST: "first event that the span covers",
    LAST: "last event that the span covers",
    EVENT_COUNT: "how many events were rolled up",
    EVENT_TYPE: "type of the event in the log",
    TURN: "number of the turn",
    BLOCK: "number of the block",
    LINES: "how many lines ran",
    EFFECT: "assumed: a recorded answer served after a change",
    FORK: "the command that forks just before this event",
    PARENT_RUN: "run that a fork left",
    PARENT_SEQ: "event of that run at which it left",
    POSITION: "the position as it was asked for",
    CTX_NAME: "name in ctx",
    CTX_VALUE: "content: its value",
    NAME: "name of an effect, module, stream, limit, signal",
    VALUE: "content: what an event carried",
    VIA: "how a file was reached",
    RENAMED_TO: "new path of a renamed file",
    ROLLUP: "true on a span that stands for many",
    ROLLUP_COUNTS: "what was rolled up, most frequent first",
    INCOMPLETE: "true when the log ends before the span does",
    TASK: "content: the task of the run",
    SOURCE: "content: source of the block",
    ANSWER: "content: the agent's answer",
}
"""Attribute name -> what it holds. Those that begin with `content:` are sent only when opted in."""

# --- span names ----------------------------------------------------------------------------------

INSTANT_SPANS: tuple[str, ...] = (
    "ctx.deleted", "ctx.mutated", "ctx.set", "file.changed", "file.deleted", "file.listed", "file.made",
    "file.opened", "file.read", "file.renamed", "file.wrote", "net.connected",
)  # fmt: skip
"""Events that are spans without length, under the name of their type."""

SPAN_NAMES: tuple[str, ...] = (
    "chat", "events", "execute_tool", "invoke_agent", "line", "lines", "process", "turn", *INSTANT_SPANS,
)  # fmt: skip
"""First word of every span name; what may follow is a tool, a model, a ctx name, a line, a number."""

# --- metrics -------------------------------------------------------------------------------------

METRIC_INPUT_TOKENS = "gen_ai.client.inference.usage.input_tokens"
METRIC_OUTPUT_TOKENS = "gen_ai.client.inference.usage.output_tokens"
METRIC_CHAT_DURATION = "gen_ai.client.inference.duration"
METRIC_AGENT_DURATION = "gen_ai.invoke_agent.duration"
METRIC_TOOL_DURATION = "gen_ai.execute_tool.duration"
METRIC_RUNS = "coda.runs"
METRIC_EVENTS = "coda.events"
METRIC_LINES = "coda.lines"
METRIC_BLOCKS = "coda.blocks"
METRIC_CALLS = "coda.calls"
METRIC_ERRORS = "coda.errors"
METRIC_LIMITS = "coda.limits"
METRIC_LOG_BYTES = "coda.log.bytes"
METRIC_UNREAD_BYTES = "coda.log.unread.bytes"
METRIC_UNREADABLE = "coda.runs.unreadable"

METRICS: dict[str, tuple[str, str]] = {
    METRIC_INPUT_TOKENS: ("counter", "Tokens of requests to models."),
    METRIC_OUTPUT_TOKENS: ("counter", "Tokens of replies of models."),
    METRIC_CHAT_DURATION: ("histogram", "Seconds from a request to a model to its reply."),
    METRIC_AGENT_DURATION: ("histogram", "Seconds that finished runs took."),
    METRIC_TOOL_DURATION: ("histogram", "Seconds that calls of tools took."),
    METRIC_RUNS: ("gauge", "Runs in the run directory, by kind and outcome."),
    METRIC_EVENTS: ("counter", "Events recorded, by type."),
    METRIC_LINES: ("counter", "Lines of agent code that ran."),
    METRIC_BLOCKS: ("counter", "Blocks that ended, by outcome."),
    METRIC_CALLS: ("counter", "Calls of tools and primitives that returned, by tool and outcome."),
    METRIC_ERRORS: ("counter", "Exceptions that left a block or a call, by type and where."),
    METRIC_LIMITS: ("counter", "Things that could not be recorded or allowed, by kind."),
    METRIC_LOG_BYTES: ("gauge", "Bytes of all traces, without blobs."),
    METRIC_UNREAD_BYTES: ("gauge", "Bytes of traces that these metrics do not count yet."),
    METRIC_UNREADABLE: ("gauge", "Traces in the run directory that could not be read."),
}
"""Metric name -> kind and description. Durations are in seconds."""


def prometheus_name(metric: str) -> str:
    """Gives the name that a metric has on `/metrics`, without the suffix of its kind.

    Source: the OpenTelemetry to Prometheus compatibility rules (dots become underscores, units are appended).
    """
    return metric.replace(".", "_") + ("_seconds" if metric.endswith(".duration") else "")
