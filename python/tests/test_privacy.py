"""What users and models say stays nowhere: not in the data folder, not on the terminal, not in a log."""

from __future__ import annotations

from conftest import Home
from fake_provider import fake_provider

SCRIPT = """
import asyncio, logging, pickle, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
import kalibr
from kalibr import feedback

def word(name):
    return f"CANARY {name} CANARY"

def check(text):
    raise ValueError(text)

router = kalibr.Router("g", ["fake/echo"], success_when=check)
said = [{"role": "user", "content": word("prompt")}]
about = {"session_id": "CANARY-session", "user": "CANARY-user"}
result = router.completion(said, **about)
print(result, repr(result))
list(router.completion(said, stream=True, **about))
asyncio.run(router.acompletion(said, **about))
for model in ("refuse", "limited", "down", "cut", "garbage"):
    other = kalibr.Router(f"g-{model}", [f"fake/{model}"])
    try:
        list(other.completion(said, stream=model == "cut"))
    except kalibr.ProviderError as error:
        print(error, repr(error), error.args)
        logging.exception("it failed")

feedback.track_run(result)
feedback.user_rejected(reason=word("reason"))
router.report(False, reason=word("reason"))
feedback.report_pipeline("CANARY-session", "g", prompt=word("prompt"), output=word("output"), model="m")
feedback.report_pipeline("CANARY-other", "new", prompt=word("prompt"), output=word("output"), model="m")
feedback.report_user_turn("CANARY-session", "That's wrong, try again. " + word("message"))
feedback.report_user_turn("CANARY/session", word("message"))
feedback.report_user_turn(word("sess/ion"), 7)
feedback.report_action("CANARY-session", word("action"))
diff = "@@ -1 +1 @@" + chr(10) + "-" + word("diff") + chr(10) + "+" + word("changed") + chr(10)
for edit in ({"edited_output": word("edited")}, {"edit_diff": diff}, {"edit_diff": word("no diff")}):
    feedback.report_action("CANARY-session", "output_edited", **edit)
    feedback.report_action("CANARY-nowhere", "output_edited", **edit)
feedback.report_action("CANARY-session", "output_edited", edit_diff=word("two"), edited_output=word("edits"))
feedback.emit_signal(word("type"), trace_id=word("trace"))
feedback.user_accepted(signal_id=word("sig/nal"), at=word("time"))
feedback.user_accepted(strength=word("strength"), trace_id=result.trace_id)
feedback.report_session_end("CANARY-session", satisfied=False)
try:
    router.completion([{"role": "user", "content": word("prompt") + chr(0xD800)}])
except kalibr.InvalidRequestError as error:
    print(error, repr(error.__cause__))
try:
    router.decide(session_id=word("sess/ion"))
except kalibr.InvalidRequestError as error:
    print(error)
print(kalibr.explain("CANARY-session"), kalibr.goals())
assert feedback.flush(30)
print("finished")
"""


def test_no_word_of_a_user_or_a_model_is_left_anywhere(home: Home) -> None:
    with fake_provider() as provider:
        home.add_config(f'[providers.fake]\nbase_url = "{provider.base_url}"\n')
        done = home.run(SCRIPT)
        sent = str(provider.requests)
    assert "finished" in done.stdout
    assert "CANARY prompt" in sent and "CANARY-session" not in sent and "CANARY-user" not in sent
    assert "CANARY" not in done.stdout
    assert "CANARY" not in done.stderr
    for file in home.path.rglob("*"):
        assert b"CANARY" not in file.read_bytes(), file
        assert file.name == "kalibr.toml" or file.stat().st_mode & 0o077 == 0, file


def test_importing_reads_no_environment_and_makes_nothing(home: Home) -> None:
    done = home.run(
        """
        import os, sys
        before = set(sys.modules)
        import kalibr, threading
        print(threading.active_count(), "asyncio" in before, os.listdir(os.environ["KALIBR_HOME"]))
        os.environ["KALIBR_HOME"] += "-elsewhere"
        kalibr.Router("g", ["m"])
        """
    )
    assert done.stdout.startswith("1 ") and "['kalibr.toml']" in done.stdout
    assert [file.name for file in home.path.iterdir()] == ["kalibr.toml"]
    assert (home.path.parent / "home-elsewhere" / "ledger.db").exists()


def test_the_hosted_sdk_beside_ours_is_warned_of(home: Home) -> None:
    site = home.path.parent / "site"
    (site / "kalibr-1.14.4.dist-info").mkdir(parents=True)
    (site / "kalibr-1.14.4.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: kalibr\nVersion: 1.14.4\n")
    done = home.run(f"import sys; sys.path.append({str(site)!r}); import kalibr")
    assert "kalibr 1.14.4" in done.stderr and "pip uninstall" in done.stderr
    assert "Warning" not in home.run("import kalibr").stderr
