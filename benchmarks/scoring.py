"""From raw transcripts to error counts: ours against jiwer and against the seed's chain.

The chain is the seed's text normalisation of both sides and `compute-wer -c` 0.2.3, in
files, as its author ran them. It needs `pip install -c constraints.txt '.[seed]'`; without,
the other figures are printed. Transcripts are made of the project's own sentences. Last,
ours is compared with jiwer, and with --oracle with compute-wer, on random pairs.

    python -m benchmarks.scoring [--pairs 100000] [--oracle] [--record FILE]
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import jiwer

from benchmarks import measure
from galgame_asr.corpora.synthetic.fetch import all_sentences
from galgame_asr.scoring import compute_wer
from galgame_asr.scoring.seed import seed_normalise
from galgame_asr.text.alignment import utterance_counts
from galgame_asr.text.normalise import normalise

EXTRA = "pip install -c constraints.txt '.[seed]'"
KANA = "あいうえおかきくけこしたちってとなにのはまみもよらりるれろわんー"
KANJI = "私方気今日何人見言思時間手前先生大丈夫分君達後世界一二三"
NUMBERS = ["2024年に", "１０００円だよ。", "3.5倍…", "二〇二四年、", "1,000人が", "100％、"]
RANDOM_PAIRS = 20_000
# Of the oracle's pairs: what its rules tell apart.
TELLING = [
    *"あいうアイガー々〇ゝ葵凛漢字豈abcXYZß0123９①。、！？…「」.,-+'&@#=_;℃<>()♪゛é👍Ǆ \t",
    "\u3099", "\u200b", "\x01", "\x7f", "\u2028", "\u0085", "\u00a0", "\u3000", "\ue000", "\u0378",
    "<unk>", "<b>", "<a b>", "ok", "  ",
]  # fmt: skip
RECORDED_PAIRS = 60


def main() -> None:
    """Make the pairs, measure each way, print the ratios; then the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--oracle", action="store_true", help="compare with compute-wer 0.2.3")
    parser.add_argument("--record", type=Path, help="write what compute-wer prints, for the tests")
    parser.add_argument("--part", nargs=2, metavar=("NAME", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    parts: dict[str, Callable[[list[str], list[str]], None]] = {
        "ours": ours, "jiwer": with_jiwer, "seed": seed_chain,
    }  # fmt: skip
    if options.part:
        name, file = options.part
        truth, heard = json.loads(Path(file).read_text("utf-8"))
        start = measure.cpu_s()
        parts[name](truth, heard)
        measure.report_cpu(start)
    elif options.record:
        record(options.record)
    elif options.oracle:
        compare_with_compute_wer()
    else:
        compare_costs(options.pairs, list(parts))
        compare_with_jiwer()


def compare_costs(count: int, parts: list[str]) -> None:
    """Measure each way in a process of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary, "pairs.json")
        truth, heard = pairs(count, random.Random(0))
        file.write_text(json.dumps([truth, heard]), "utf-8")
        print(f"{count} pairs, {sum(map(len, truth)) / count:.1f} characters on average")
        costs = {}
        for part in parts:
            if part == "seed" and missing():
                print(f"seed: {missing()} not installed: {EXTRA}")
                continue
            costs[part], output = measure.part("benchmarks.scoring", "--part", part, str(file))
            print(f"{part:6}{costs[part]}  {output.splitlines()[0]}")
    for part, cost in costs.items():
        print(f"{part:6} takes {cost.cpu_s / costs['ours'].cpu_s:6.1f} x the CPU time of ours")


def ours(truth: list[str], heard: list[str]) -> None:
    """Normalise both sides; counts of each utterance."""
    truth, heard = [normalise(text) for text in truth], [normalise(text) for text in heard]
    counts = utterance_counts(truth, heard)
    print(f"CER {counts.sum() / sum(map(len, truth)):.6f} {counts.sum(axis=0)}")


def with_jiwer(truth: list[str], heard: list[str]) -> None:
    """The same texts, aligned by jiwer."""
    truth, heard = [normalise(text) for text in truth], [normalise(text) for text in heard]
    found = jiwer.process_characters(truth, heard)
    print(f"CER {found.cer:.6f} [{found.substitutions} {found.deletions} {found.insertions}]")


def seed_chain(truth: list[str], heard: list[str]) -> None:
    """Normalise both sides as the seed did, then its scorer on files."""
    with tempfile.TemporaryDirectory() as temporary:
        files = []
        for side, texts in (("ref", truth), ("hyp", heard)):
            files.append(Path(temporary, side))
            lines = (f"{i} {text}\n" for i, text in enumerate(seed_normalise(texts)))
            files[-1].write_text("".join(lines), "utf-8")
        output = Path(temporary, "out")
        command = importlib.import_module("compute_wer.cli").main
        command(["-c", *map(str, files), str(output)], standalone_mode=False)
        summary = output.read_text("utf-8").rpartition("Overall -> ")[2]
        print(summary.partition("\n")[0])


def compare_with_jiwer() -> None:
    """Each kind of error, and the rate to the last digit.

    Raises:
        AssertionError: they differ.
    """
    draw = random.Random(1)
    truth, heard = pairs(RANDOM_PAIRS, draw)
    truth, heard = [normalise(text) for text in truth], [normalise(text) for text in heard]
    counts = utterance_counts(truth, heard)
    found = jiwer.process_characters(truth, heard)
    expected = [found.substitutions, found.deletions, found.insertions]
    if counts.sum(axis=0).tolist() != expected or counts.sum() / sum(map(len, truth)) != found.cer:
        raise AssertionError(f"ours {counts.sum(axis=0)}, jiwer {expected}")
    print(
        f"jiwer {importlib.metadata.version('jiwer')}: "
        f"{RANDOM_PAIRS} random pairs, the same counts and CER"
    )


def compare_with_compute_wer() -> None:
    """Counts of each pair and all lines of the summary.

    Raises:
        AssertionError: they differ.
    """
    draw = random.Random(2)
    random_pairs = [telling_pair(draw) for _ in range(RANDOM_PAIRS)]
    printed, summary = package_output(random_pairs)
    for pair, line in zip(random_pairs, printed, strict=True):
        if str(compute_wer.count_pair(*pair)) != line:
            raise AssertionError(f"{pair}: ours {compute_wer.count_pair(*pair)}, theirs {line}")
    ours_summary = str(compute_wer.count(random_pairs)).splitlines()
    if ours_summary != summary:
        raise AssertionError(f"ours {ours_summary}, theirs {summary}")
    print(f"compute-wer: {RANDOM_PAIRS} random pairs, the same counts of each")
    print("\n".join(summary))


def record(file: Path) -> None:
    """Write pairs and what compute-wer prints for them."""
    draw = random.Random(3)
    recorded = [("", ""), ("", "うそ"), ("はい", ""), *zip(*pairs(7, draw), strict=True)]
    recorded += [telling_pair(draw) for _ in range(RECORDED_PAIRS - len(recorded))]
    printed, summary = package_output(recorded)
    value = {
        "pairs": [
            {"reference": reference, "hypothesis": hypothesis, "printed": line}
            for (reference, hypothesis), line in zip(recorded, printed, strict=True)
        ],
        "summary": summary,
    }
    file.write_text(json.dumps(value, ensure_ascii=True, indent=1) + "\n", "utf-8")


def package_output(random_pairs: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """What compute-wer prints for each pair and for all; the lines of the scripts sorted."""
    if importlib.util.find_spec("compute_wer") is None:
        raise SystemExit(f"compute-wer is not installed: {EXTRA}")
    calculator = importlib.import_module("compute_wer").Calculator(to_char=True, remove_tag=True)
    printed = [str(calculator.calculate(*pair)) for pair in random_pairs]
    overall, scripts = calculator.overall()
    lines = [f"{name} -> {scripts[name]}" for name in sorted(scripts)]
    return printed, [f"Overall -> {overall}", *lines, f"SER -> {calculator.ser} ML=0 MH=0"]


def pairs(count: int, draw: random.Random) -> tuple[list[str], list[str]]:
    """References of one or more sentences, with numbers, and transcripts with errors."""
    sentences = all_sentences("vn")
    truth = [
        "".join(
            draw.choice(NUMBERS) if draw.random() < 0.05 else draw.choice(sentences)
            for _ in range(draw.choice((1, 1, 2, 2, 3)))
        )
        for _ in range(count)
    ]
    return truth, [misheard(text, draw) for text in truth]


def misheard(text: str, draw: random.Random) -> str:
    """About a quarter of the characters wrong, as before fine-tuning; one text in 500 loops."""
    heard = ""
    for char in text:
        chance = draw.random()
        if chance < 0.1:
            heard += draw.choice(KANA + KANJI)
        elif chance < 0.2:
            heard += ""
        elif chance < 0.25:
            heard += char + draw.choice(KANA)
        else:
            heard += char
    return heard + ("ああ" * draw.randint(20, 100) if draw.random() < 0.002 else "")


def telling_pair(draw: random.Random) -> tuple[str, str]:
    """A reference and a hypothesis out of characters that compute-wer's rules tell apart."""
    alphabet = draw.sample(TELLING, draw.randint(1, 8)) if draw.random() < 0.5 else TELLING
    reference = draw.choices(alphabet, k=draw.randint(0, 14))
    if draw.random() < 0.3:
        hypothesis = [char for char in reference if draw.random() < 0.8]
    else:
        hypothesis = draw.choices(alphabet, k=draw.randint(0, 14))
    return "".join(reference), "".join(hypothesis)


def missing() -> str:
    """Which packages of the chain are not installed."""
    names = ("compute_wer", "whisper_normalizer", "zhconv")
    return ", ".join(name for name in names if importlib.util.find_spec(name) is None)


if __name__ == "__main__":
    main()
