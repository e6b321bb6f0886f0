"""Strands: each index leads back to the event that it stands for."""

from __future__ import annotations

from coda.forking.strands import Strand


def test_an_index_behind_what_stands_for_many_events_leads_to_its_own() -> None:
    strand = Strand()
    wanted = []
    for seq, n in ((5, 1), (6, 7), (13, 1), (14, 1), (15, 2), (17, 3), (20, 1), (30, 1), (31, 1)):
        strand.add(seq, 1, 0, n=n)
        wanted.append(seq)
    strand.add_bound(31, 1, 0)
    strand.add(32, 1, 0)
    assert [strand.seq(index) for index in range(len(strand.tokens))] == [*wanted, 31, 32]
