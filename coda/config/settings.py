"""Every setting of coda, once: its name, type, default, and what it means.

Guarantee: files, variables, flags, `coda config` and the table in docs/configuration.md are all made from
this one struct; a setting that is not here does not exist. A setting has one name in three spellings:
`max-turns` in a file, `CODA_MAX_TURNS` in the environment, `--max-turns` (or `coda -c max-turns=...`) on the
command line.
"""

from __future__ import annotations

import functools
import typing
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from coda.config.kinds import KINDS, NONE, Kind, choice

PREFIX: Final = "CODA_"
UNSET: Final = "-"
"""How a folder is shown that nobody named."""
RECORDS: Final = ("exec", "run")
COLOURED: Final = ("log", "replay", "state", "fork", "query", "config")


def _about(
    words: str, *verbs: str, kind: str = "", project: bool = True, secret: bool = False
) -> msgspec.Meta:
    """What a setting means, which verbs have it, and whether the project's own file may say it."""
    return msgspec.Meta(
        description=words, extra={"verbs": verbs, "kind": kind, "project": project, "secret": secret}
    )


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The settings in force. None means: no limit, or nothing."""

    record: Annotated[
        Literal["effects", "lines", "values"], _about("What is kept of each statement.", *RECORDS)
    ] = "values"
    root: Annotated[
        str | None, _about("The workspace; otherwise the current folder.", *RECORDS, kind="folder")
    ] = None
    runs: Annotated[
        str | None,
        _about(
            "The run directory; otherwise `.coda/runs` of the workspace.",
            *RECORDS, "log", "check", "runs", "replay", "state", "fork", "diff", "query", "export", "serve",
            "view", kind="folder",
        ),
    ] = None  # fmt: skip
    timeout: Annotated[float | None, _about("Stop a block that runs longer.", *RECORDS, kind="duration")] = (
        None
    )
    memory: Annotated[
        int | None, _about("Address space that the recorded code may take.", *RECORDS, kind="size")
    ] = None
    cpu: Annotated[
        float | None,
        _about("Processor time of a block, without its children (Linux).", *RECORDS, kind="duration"),
    ] = None
    processes: Annotated[
        int | None,
        _about("Processes that the recorded code may have at one time (Linux).", *RECORDS, kind="count"),
    ] = None
    max_output: Annotated[
        int | None,
        _about("Output of a block that an agent is shown; the log has all.", "run", kind="size"),
    ] = 32 << 20
    max_run_output: Annotated[
        int | None, _about("The same over all blocks of a run.", "run", kind="size")
    ] = None
    max_logged: Annotated[
        int | None,
        _about("Output of a run before the block that writes it is stopped.", *RECORDS, kind="size"),
    ] = None
    durability: Annotated[
        Literal["write", "fsync"],
        _about("Whether the trace survives the death of the process, or also that of the machine.", *RECORDS),
    ] = "write"
    threads: Annotated[
        Literal["serial", "real"],
        _about(
            "Whether threads run one at a time, which a replay repeats, or as the system schedules them.",
            *RECORDS,
        ),
    ] = "serial"
    value_limit: Annotated[
        int, _about("First values kept of each binding in a block.", *RECORDS, kind="count")
    ] = 64
    line_limit: Annotated[
        int, _about("Line events of a block before the rest are only counted.", *RECORDS, kind="count")
    ] = 10_000_000
    max_blob: Annotated[
        int, _about("Largest content of a file that is kept in the trace.", *RECORDS, kind="size")
    ] = 64 << 20
    env: Annotated[
        tuple[str, ...],
        _about(
            "Variables that an agent's code gets beside the harmless ones (docs/agents.md).",
            "run", kind="variables", project=False,
        ),
    ] = ()  # fmt: skip
    quiet: Annotated[bool, _about("Do not say where the trace is.", "exec", kind="switch")] = False
    model: Annotated[str, _about("Name of the model.", "run", kind="text")] = "scripted"
    max_turns: Annotated[int, _about("Stop after so many requests to the model.", "run", kind="count")] = 25
    color: Annotated[
        Literal["auto", "always", "never"],
        _about("Colour the output; auto: on a terminal, unless NO_COLOR is set.", *COLOURED),
    ] = "auto"
    otlp: Annotated[
        str | None,
        _about(
            "OpenTelemetry backend that spans are sent to.", *RECORDS, "export", kind="url", project=False
        ),
    ] = None
    line_spans: Annotated[
        str,
        _about(
            "Line spans of a block before the rest become one span with counts.",
            *RECORDS, "export", kind="line spans",
        ),
    ] = "2000"  # fmt: skip
    host: Annotated[str, _about("Address to serve on.", "serve", kind="text", project=False)] = "127.0.0.1"
    port: Annotated[int, _about("Port to serve on; 0 takes a free one.", "serve", kind="port")] = 8321
    token: Annotated[
        str | None,
        _about(
            "Token that clients of the server must send; otherwise a random one is printed.",
            "serve", kind="token", project=False, secret=True,
        ),
    ] = None  # fmt: skip
    allow_host: Annotated[
        tuple[str, ...],
        _about(
            "Names under which the server may be asked, beside localhost and addresses.",
            "serve", kind="hosts", project=False,
        ),
    ] = ()  # fmt: skip
    replay: Annotated[
        bool, _about("Run the recorded code again for what the log does not hold.", "view", kind="switch")
    ] = True
    light: Annotated[bool, _about("Begin with the light colours.", "view", kind="switch")] = False

    def sandbox(self, **changes: Any) -> dict[str, Any]:
        """Gives keyword arguments for `coda.Sandbox`.

        Args:
            **changes: arguments that take the place of those of the settings, or join them.

        Returns:
            A new dictionary: `coda.Sandbox(**coda.load_config().sandbox(level="lines"))`.
        """
        given: dict[str, Any] = {
            "root": self.root, "runs": self.runs, "level": self.record, "timeout_s": self.timeout,
            "memory_bytes": self.memory, "durability": self.durability, "value_limit": self.value_limit,
            "threads": self.threads,
            "line_limit": self.line_limit, "max_blob_bytes": self.max_blob, "env_names": self.env,
            "limits": {
                "cpu_s": self.cpu, "processes": self.processes, "output_bytes": self.max_output,
                "run_output_bytes": self.max_run_output, "logged_bytes": self.max_logged,
            },
        }  # fmt: skip
        return {**given, **changes}

    def agent(self, **changes: Any) -> dict[str, Any]:
        """Gives keyword arguments for `coda.Agent` with a sandbox of its own; `changes` as in `sandbox`."""
        whole = self.sandbox()
        own = {name: whole.pop(name) for name in ("root", "level", "timeout_s")}
        return {**own, "model": self.model, "max_turns": self.max_turns, "sandbox_options": whole, **changes}


class Setting(NamedTuple):
    """One setting, as files, variables, flags and pages need it."""

    field: str
    """Name of the attribute of `Config`."""
    words: str
    verbs: tuple[str, ...]
    kind: Kind
    default: Any
    optional: bool
    """Whether `none` is a value; of a folder it would be a name."""
    project: bool
    """Whether the project's own file may set it."""
    secret: bool

    @property
    def name(self) -> str:
        """How files spell it."""
        return self.field.replace("_", "-")

    @property
    def variable(self) -> str:
        """How the environment spells it."""
        return PREFIX + self.field.upper()

    @property
    def flag(self) -> str:
        """How the command line spells it."""
        return f"--{self.name}"

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        return self.kind.expected + (f', or "{NONE}"' if self.optional else "")

    def from_text(self, text: str) -> Any:
        """Reads the value of a variable or a flag.

        Raises:
            ValueError: it is no such value.
        """
        if self.optional and text.strip().lower() == NONE:
            return None
        return self.kind.from_text(text)

    def from_toml(self, value: Any) -> Any:
        """Reads the value of a file; as `from_text`."""
        if self.optional and value == NONE:
            return None
        return self.kind.from_toml(value)

    def show(self, value: Any) -> str:
        """Gives a value as one would write it."""
        if value is None:
            return NONE if self.optional else UNSET
        return self.kind.show(value)


@functools.cache
def settings() -> dict[str, Setting]:
    """Gives all settings by the name that files use, in the order of `Config`."""
    hints = typing.get_type_hints(Config, include_extras=True)
    found = [_setting(name, hints[name], default) for name, default in _defaults().items()]
    return {setting.name: setting for setting in found}


def _defaults() -> dict[str, Any]:
    config = Config()
    return {name: getattr(config, name) for name in config.__struct_fields__}


def _setting(name: str, hint: Any, default: Any) -> Setting:
    base, meta = typing.get_args(hint)
    extra = meta.extra
    optional = type(None) in typing.get_args(base) and extra["kind"] != "folder"
    kind = KINDS[extra["kind"]] if extra["kind"] else choice(typing.get_args(base))
    return Setting(
        name, meta.description, extra["verbs"], kind, default, optional, extra["project"], extra["secret"]
    )


@functools.cache
def verbs() -> frozenset[str]:
    """Gives the verbs that have settings."""
    return frozenset(verb for setting in settings().values() for verb in setting.verbs)
