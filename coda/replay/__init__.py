"""Front door of replay: the real state at a position, and whether a run can be rebuilt."""

from coda.replay.answering import Answering
from coda.replay.children import POPEN, Exchanges
from coda.replay.compare import Matcher
from coda.replay.cuts import CUT_SHORT, ends_nowhere, ends_there
from coda.replay.health import Health, examine
from coda.replay.library import Agent, Sandbox
from coda.replay.listed import show_listed
from coda.replay.private import PrivateCopy
from coda.replay.reasons import Cause
from coda.replay.restoring import ReplayRestorer
from coda.replay.session import Session, counted
from coda.replay.state import Frame, Shown, State, Verdict, replay, state_at
from coda.replay.tape import (
    BlockMap,
    BlockTape,
    block_tapes,
    count_of,
    feed_of,
    is_workers,
    triggers_of,
    whole_run,
)

__all__ = [
    "CUT_SHORT",
    "POPEN",
    "Agent",
    "Answering",
    "BlockMap",
    "BlockTape",
    "Cause",
    "Exchanges",
    "Frame",
    "Health",
    "Matcher",
    "PrivateCopy",
    "ReplayRestorer",
    "Sandbox",
    "Session",
    "Shown",
    "State",
    "Verdict",
    "block_tapes",
    "count_of",
    "counted",
    "ends_nowhere",
    "ends_there",
    "examine",
    "feed_of",
    "is_workers",
    "replay",
    "show_listed",
    "state_at",
    "triggers_of",
    "whole_run",
]
