"""The published snippets run as they are printed, and what they say happens."""

from __future__ import annotations

import kalibr
from conftest import Home

SYSTEM_PROMPT = "You summarise research."


def test_level_1_explicit(home: Home) -> None:
    router = kalibr.Router("research_summary", ["lab/good", "lab/poor"])
    # fmt: off
    from kalibr.feedback import user_accepted, user_rejected, track_run
    result = router.completion(messages=[{"role": "user", "content": "Summarise this"}])
    track_run(result)
    assert user_accepted()
    assert user_rejected(reason="output too short")
    # fmt: on
    assert kalibr.flush()
    evidence = kalibr.explain(result.trace_id)["evidence"]
    assert [(e["source"], e["value"]) for e in evidence] == [
        ("explicit", "user_accepted"),
        ("explicit", "user_rejected"),
    ]


def test_level_2_session_and_level_3_actions(home: Home) -> None:
    kalibr.Router("research_summary", ["lab/good", "lab/poor"])
    system_prompt, response, user_next_message = SYSTEM_PROMPT, "An answer.", "This is wrong, try again."
    # fmt: off
    from kalibr.feedback import report_pipeline, report_user_turn
    assert report_pipeline(
        session_id="user-session-123",
        goal="research_summary",
        prompt=system_prompt,
        output=response,
        model="gpt-4o"
    )
    assert report_user_turn(
        session_id="user-session-123",
        user_message=user_next_message  # Kalibr classifies this automatically
    )
    from kalibr.feedback import report_action
    assert report_action(session_id="user-session-123", action_type="output_used_verbatim")
    assert report_action(session_id="user-session-123", action_type="output_edited")
    assert report_action(session_id="user-session-123", action_type="output_discarded")
    # fmt: on
    assert kalibr.flush()
    run = kalibr.explain("user-session-123")
    assert run["kind"] == "observed"
    assert [e["source"] for e in run["evidence"]] == ["turn", "action", "action", "action"]
    assert run["attempts"][0]["graded_by"] == "action"
    assert run["attempts"][0]["strength"] == 0.0


def test_future_runs_go_to_the_better_model(home: Home) -> None:
    from kalibr.feedback import track_run, user_accepted, user_rejected

    router = kalibr.Router("research_summary", ["lab/good", "lab/poor"])
    served = []
    for _ in range(120):
        result = router.completion(messages=[{"role": "user", "content": "Summarise this"}])
        track_run(result)
        if result.choices[0].message.content.startswith("good"):
            user_accepted()
        else:
            user_rejected(reason="output too short")
        served.append(result.model)
        assert kalibr.flush()
    assert served[60:].count("lab/good") >= 55
    shares = {path["path_id"]: path["share"] for path in kalibr.goals()[0]["learned"][0]["paths"]}
    assert max(shares.values()) > 0.95
