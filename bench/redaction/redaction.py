"""How much of what is personal or secret redaction finds, and what it takes that is neither: see README.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import sysconfig
from collections import Counter, defaultdict
from pathlib import Path

from generate import Row, as_json, rows

ROOT = Path(__file__).resolve().parents[2]
RECALL, PRECISION = 0.98, 0.95
UNSTRUCTURED = ["BIRTH_DATE", "ADDRESS", "NAME"]
# Real addresses of authors and hosts stand in source code: found there, they are no mistakes.
OFTEN_REAL = {"EMAIL", "IP", "MAC", "NAME", "ADDRESS"}


def found(texts: list[str]) -> list[list[tuple[int, int, str]]]:
    """What the library finds in each, in bytes."""
    command = [
        "cargo",
        "run",
        "--quiet",
        "--release",
        "--package",
        "kalibr-signals",
        "--example",
        "redact",
        "--",
        "finds",
    ]
    run = subprocess.run(command, input="\n".join(texts), capture_output=True, text=True, cwd=ROOT, check=False)
    if run.returncode != 0:
        sys.exit(run.stderr)
    return [[(start, end, name) for start, end, name in json.loads(line)] for line in run.stdout.splitlines()]


class Score:
    """Counts for one entity."""

    def __init__(self) -> None:
        self.expected = self.right = self.elsewhere = self.finds = self.true = 0

    def recall(self) -> float:
        return self.right / self.expected if self.expected else 1.0

    def precision(self) -> float:
        return self.true / self.finds if self.finds else 1.0

    def row(self, name: str, bar: str) -> str:
        cells = [
            name,
            self.expected,
            f"{self.recall():.4f}",
            self.elsewhere,
            self.finds,
            f"{self.precision():.4f}",
            bar,
        ]
        return "| " + " | ".join(map(str, cells)) + " |"


# Per entity, and what went wrong: how, with what, which, and in which text.
Scores = tuple[dict[str, Score], list[tuple[str, str, str, str]]]


def letters(text: bytes) -> bytes:
    """Without the signs at the edges, which belong to nobody."""
    return text.strip(b" \t\n.,;:()[]'\"-+<>")


def score(
    data: list[Row], finds: list[list[tuple[int, int, str]]]
) -> tuple[dict[str, Score], list[tuple[str, str, str, str]]]:
    """A thing is found if finds of its kind cover it; a find is right if a thing of its kind is what it covers."""
    scores: dict[str, Score] = defaultdict(Score)
    wrong = []
    for row, spans in zip(data, finds, strict=True):
        text = row.text.encode()
        for start, end, entity, detail in row.spans:
            one = scores[entity]
            one.expected += 1
            core = letters(text[start:end])
            at = text.index(core, start)
            covered = [any(s <= place < e for s, e, _ in spans) for place in range(at, at + len(core))]
            named = [
                any(s <= place < e and name == entity for s, e, name in spans) for place in range(at, at + len(core))
            ]
            if entity in UNSTRUCTURED:
                # Half a name or the town of an address is left over more often than not: counted by share, not whole.
                one.right += sum(named) > len(core) / 2
                hit = sum(named) > len(core) / 2
            else:
                one.right += all(named)
                hit = all(named)
            one.elsewhere += not hit and all(covered)
            if not hit:
                wrong.append(("other name" if all(covered) else "missed", entity, detail, row.text))
        for start, end, name in spans:
            one = scores[name]
            one.finds += 1
            inside = [span for span in row.spans if span[2] == name and span[0] < end and start < span[1]]
            extra = len(letters(text[start:end])) - sum(min(end, e) - max(start, s) for s, e, _, _ in inside)
            loose = 40 if name in UNSTRUCTURED else 2
            if inside and extra <= loose:
                one.true += 1
            else:
                wrong.append(("false", name, text[start:end].decode(errors="replace"), row.text))
    return scores, wrong


def table(title: str, scores: dict[str, Score], only: list[str]) -> bool:
    print(f"\n{title}\n")
    print("| entity | things | recall | found under another name | finds | precision | bar |")
    print("|---|---|---|---|---|---|---|")
    met = True
    for entity in only:
        one = scores[entity]
        hit = one.recall() >= RECALL and one.precision() >= PRECISION
        counts = entity not in UNSTRUCTURED and one.expected > 0
        met &= hit or not counts
        said = ("hit" if hit else "MISSED") if counts else "none"
        print(one.row(entity, said))
    whole = Score()
    for entity in only:
        for key, value in vars(scores[entity]).items():
            setattr(whole, key, getattr(whole, key) + value)
    hit = whole.recall() >= RECALL and whole.precision() >= PRECISION
    said = "none" if set(only) <= set(UNSTRUCTURED) else "hit" if hit else "MISSED"
    print(whole.row("all", said))
    return met


def show(wrong: list[tuple[str, str, str, str]], examples: int) -> None:
    seen: Counter[tuple[str, str]] = Counter()
    for kind, entity, detail, text in wrong:
        seen[kind, entity] += 1
        if seen[kind, entity] <= examples:
            print(f"    {kind}: {entity} [{detail}] {text[:160]!r}")


def code(megabytes: float) -> list[tuple[str, str]]:
    """Source code of this machine: the Python library and packages, the crates that cargo keeps. Whole files."""
    rust = Path.home() / ".cargo/registry/src"
    python = Path(sysconfig.get_paths()["stdlib"])
    packages = Path(sysconfig.get_paths()["purelib"])
    out = []
    for language, folder, pattern in [("Rust", rust, "*.rs"), ("Python", python, "*.py"), ("Python", packages, "*.py")]:
        left = megabytes * 1e6
        # Locale data is names and telephone formats.
        paths = [
            path
            for path in sorted(folder.rglob(pattern))
            if "faker" not in path.parts and "presidio_evaluator" not in path.parts
        ]
        for path in paths[:: max(1, len(paths) // 1_500)]:
            if language == "Python" and folder == python and "site-packages" in path.parts:
                continue
            text = path.read_text("utf-8", errors="replace")
            if left < 0:
                break
            left -= len(text.encode())
            out.append((language, text))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1_000, help="rows per entity")
    parser.add_argument("--code", type=float, default=6, help="megabytes of source code per corpus")
    parser.add_argument("--examples", type=int, default=2, help="mistakes to print of each kind")
    options = parser.parse_args()
    data = rows(options.seed, options.count)
    finds = found([as_json(row) for row in data])

    def part(source: str) -> Scores:
        chosen = [(row, spans) for row, spans in zip(data, finds, strict=True) if row.source == source]
        return score([row for row, _ in chosen], [spans for _, spans in chosen])

    met = True
    for source, title in [("own", "Our templates"), ("presidio", "Presidio's templates"), ("disguised", "Disguised")]:
        scores, wrong = part(source)
        order = sorted(scores, key=lambda name: (name in UNSTRUCTURED, name))
        structured = [
            name for name in order if name not in UNSTRUCTURED and (source != "disguised" or scores[name].expected)
        ]
        met &= table(f"## {title}: structured", scores, structured)
        show([row for row in wrong if row[1] not in UNSTRUCTURED], options.examples)
        if source != "disguised":
            table(f"## {title}: unstructured, no bar", scores, UNSTRUCTURED)
            show([row for row in wrong if row[1] in UNSTRUCTURED], options.examples)
    if options.count >= 10:
        countries: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for kind, entity, detail, _ in part("own")[1]:
            if entity in {"NATIONAL_ID", "PHONE", "API_KEY"} and kind != "false":
                countries[f"{entity} {detail}"][0] += 1
        worst = sorted(countries.items(), key=lambda item: -item[1][0])[:12]
        print("\nMost often missed or misnamed:", ", ".join(f"{name} {count[0]}" for name, count in worst) or "nothing")

    print("\n## Plain numbers: texts with a find, of which there should be none\n")
    print("| kind | texts | with a find | as |")
    print("|---|---|---|---|")
    totals: Counter[str] = Counter(row.source for row in data if row.source.startswith("numbers"))
    taken: dict[str, Counter[str]] = defaultdict(Counter)
    hit: Counter[str] = Counter()
    shown = []
    for row, spans in zip(data, finds, strict=True):
        if row.source.startswith("numbers") and spans:
            hit[row.source] += 1
            taken[row.source].update({name for _, _, name in spans})
            shown.append(("false", row.source, ", ".join(name for _, _, name in spans), row.text))
    for source, count in totals.items():
        names = ", ".join(f"{name} {n}" for name, n in taken[source].most_common())
        print(f"| {source.removeprefix('numbers: ')} | {count} | {hit[source]} ({hit[source] / count:.2%}) | {names} |")
    share = hit.total() / max(1, totals.total())
    print(f"| all | {totals.total()} | {hit.total()} ({share:.2%}) | |")
    show(shown, options.examples)

    corpus = code(options.code)
    spans_of = found([json.dumps({"text": text}) for _, text in corpus])
    size: Counter[str] = Counter()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    shown = []
    for (language, text), spans in zip(corpus, spans_of, strict=True):
        raw = text.encode()
        size[language] += len(raw)
        for start, end, name in spans:
            counts[language][name] += 1
            if name not in OFTEN_REAL:
                around = raw[max(0, start - 50) : end + 20].decode(errors="replace")
                shown.append(("in code", name, raw[start:end].decode(errors="replace")[:60], around))
    print("\n## Source code: finds per megabyte (e-mail, names, hosts and addresses are often real there)\n")
    print("| corpus | MB | often real | all others | of which |")
    print("|---|---|---|---|---|")
    for language, count in size.items():
        million = count / 1e6
        real = sum(n for name, n in counts[language].items() if name in OFTEN_REAL)
        other = Counter({name: n for name, n in counts[language].items() if name not in OFTEN_REAL})
        which = ", ".join(f"{name} {n}" for name, n in other.most_common())
        often = ", ".join(f"{name} {n}" for name, n in counts[language].most_common() if name in OFTEN_REAL)
        print(
            f"| {language} | {million:.1f} | {real / million:.2f} ({often}) | {other.total() / million:.2f} | {which} |"
        )
    show(shown, options.examples)

    speed = [
        "cargo",
        "run",
        "--quiet",
        "--release",
        "--package",
        "kalibr-signals",
        "--example",
        "redact",
        "--",
        "speed",
    ]
    prose = "\n".join(row.text for row in data if row.source == "presidio")
    subprocess.run(speed, input=prose, text=True, cwd=ROOT, check=True)
    print("\nAll structured entities reach their bars." if met else "\nA bar is MISSED: see the tables.")


if __name__ == "__main__":
    main()
