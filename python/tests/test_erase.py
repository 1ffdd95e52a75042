"""The right to be forgotten, and to see first what would be, from Python."""

from __future__ import annotations

import datetime

import kalibr
import pytest
from conftest import HELLO, Home
from kalibr import feedback


def test_a_user_is_exported_and_erased_and_nobody_else_is_touched(home: Home) -> None:
    router = kalibr.Router("g", ["lab/good", "lab/poor"])
    ours = router.completion(HELLO, user="ann", session_id="s-1")
    theirs = router.completion(HELLO, user="ben")
    for run in (ours, theirs):
        assert feedback.user_rejected(run=run, reason="too short")
    records = kalibr.export(user="ann")
    assert [record["record"] for record in records] == [
        "decision",
        "attempt",
        "signal",
        "fingerprint",
        "fingerprint",
    ]
    assert {record["trace_id"] for record in records} == {ours.trace_id}
    assert kalibr.export(session_id="s-1") == records

    counted = {"decisions": 1, "attempts": 1, "signals": 1, "texts": 0, "fingerprints": 2, "steps": 0}
    assert kalibr.erase(user="ann", dry_run=True) == counted
    assert kalibr.erase(user="ann") == {**counted, "scrubbed": True}
    assert kalibr.export(user="ann") == []
    with pytest.raises(kalibr.NoRunError):
        kalibr.explain(ours.trace_id)
    assert len(kalibr.explain(theirs)["evidence"]) == 1

    tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    assert kalibr.erase(before=tomorrow)["decisions"] == 1
    assert home.query("SELECT count(*) FROM decisions") == [(0,)]


def test_it_has_to_be_said_whose(home: Home) -> None:
    for wrong in ({}, {"user": "a", "session_id": "b"}, {"user": ""}, {"session_id": "a/b"}):
        with pytest.raises(kalibr.InvalidSignalError):
            kalibr.erase(**wrong)  # type: ignore[arg-type]
        with pytest.raises(kalibr.InvalidSignalError):
            kalibr.export(**wrong)  # type: ignore[arg-type]


def test_texts_are_kept_only_where_the_operator_keeps_them(home: Home) -> None:
    for keep, kinds in (("none", []), ("full", ["prompt", "answer", "reason", "user_message"])):
        assert kalibr.close()
        home.add_config(f'[privacy]\nkeep_text = "{keep}"\n' if keep == "none" else "")
        if keep == "full":
            config = (home.path / "kalibr.toml").read_text()
            (home.path / "kalibr.toml").write_text(config.replace('"none"', '"full"'))
        router = kalibr.Router("g", ["lab/good"])
        result = router.completion(HELLO, session_id="s")
        kalibr.track_run(result)
        assert feedback.user_rejected(reason="too short")
        assert feedback.report_user_turn("s", "This is wrong.")
        assert feedback.flush()
        texts = kalibr.explain(result).get("texts", [])
        assert [text["kind"] for text in texts] == kinds
        assert len([record for record in kalibr.export(session_id="s") if record["record"] == "text"]) == len(kinds)
    assert texts[0]["text"] == "user:\nHello" and texts[2]["text"] == "too short"
    assert kalibr.erase(session_id="s")["texts"] == 4
