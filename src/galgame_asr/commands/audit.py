"""`galgame-asr audit`: what an audit found, and its verdict into files that git keeps."""

import argparse


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its arguments."""
    command = commands.add_parser(
        "audit", help="labels that models hear otherwise, and leaving those utterances out"
    )
    command.add_argument("corpus", metavar="CORPUS", help="one of audit.corpora in params.yaml")
    command.add_argument("--show", type=int, default=10, metavar="N", help="so many labels, 10")
    command.add_argument(
        "--exclude",
        action="store_true",
        help="add what is flagged with severity drop to exclusions/CORPUS.tsv",
    )
    command.add_argument(
        "--phase", help="to exclusions/PHASE/CORPUS.tsv, which this phase alone leaves out"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print the flags and the worst labels; with --exclude, write them down.

    Raises:
        ConfigError: the corpus is not audited, or the phase is none.
        DataError: the audit has not run.
    """
    from dataclasses import asdict

    from galgame_asr.auditing import compare, verdict
    from galgame_asr.auditing.params import FLAGS, AuditParams
    from galgame_asr.core.params import hint, load
    from galgame_asr.core.paths import AUDIT, EXCLUSIONS
    from galgame_asr.messages.errors import ConfigError

    params, corpus, phase = load(AuditParams, "audit"), options.corpus, options.phase
    if corpus not in params.corpora:
        raise ConfigError(f"audit.corpora has no '{corpus}'. {hint(corpus, list(params.corpora))}")
    phases = list(load(dict[str, object], "train.phases"))
    if phase and phase not in phases:
        raise ConfigError(f"train.phases has no '{phase}'. {hint(phase, phases)}")
    if phase and not options.exclude:
        raise ConfigError("--phase says where --exclude writes; give both")
    rows = compare.read(AUDIT / f"{corpus}.parquet")
    print("\n".join(verdict.worst(rows, options.show)))
    flagged = [flag for flags in rows["flags"] for flag in flags]
    number = int((rows["flags"].map(len) > 0).sum())
    proposals = rows["proposal"].notna().sum()
    print(f"{number} of {len(rows)} labels are flagged; {proposals} proposals")
    print("\n".join(f"  {flag:12} {flagged.count(flag):7}" for flag in FLAGS))
    if options.exclude:
        effects = asdict(params.severity)
        drop = [flag for flag in FLAGS if effects[flag] == "drop"]
        folder = EXCLUSIONS / phase if phase else EXCLUSIONS
        added = verdict.exclude(folder, corpus, rows, drop)
        print(f"{folder / corpus}.tsv: {added} lines added ({', '.join(drop) or 'no flag drops'})")
