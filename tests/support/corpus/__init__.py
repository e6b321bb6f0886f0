"""Ordinary programs of many kinds: what people and models write in a day.

Each prints the same on every run (clocks and randomness only through what is true of all their values),
so a recorded run can be compared with a plain one, byte for byte.
"""

from __future__ import annotations

from tests.support.corpus.files import FILES
from tests.support.corpus.language import LANGUAGE, STDLIB
from tests.support.corpus.layout import LAYOUT
from tests.support.corpus.output import ENDS, OUTPUT
from tests.support.corpus.world import MACHINE, WORLD
from tests.support.programs import Program

PROGRAMS: list[Program] = [*FILES, *LANGUAGE, *WORLD, *MACHINE, *OUTPUT, *ENDS, *LAYOUT, *STDLIB]
BY_NAME = {program.name: program for program in PROGRAMS}
