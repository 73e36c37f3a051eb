"""`galgame-asr label`: a page to listen to utterances and to correct their labels."""

import argparse

PORT = 8391


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its arguments."""
    command = commands.add_parser(
        "label", help="a page to listen to utterances and to correct their labels"
    )
    command.add_argument("corpus", metavar="CORPUS", help="one of params.yaml's corpora")
    command.add_argument(
        "--queue",
        choices=("audit", "random", "errors", "drafts"),
        default="audit",
        help="what an audit found (as it is without --queue), training rows at random, what "
        "the newest variant got wrong in the decoded sets, or drafts that nobody has accepted",
    )
    command.add_argument(
        "--by", metavar="NAME", help="who decides, in the file of corrections; git's user.name"
    )
    command.add_argument(
        "--port", type=int, default=PORT, metavar="N", help=f"of 127.0.0.1: {PORT}; 0: any"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Serve the page until Ctrl+C."""
    from galgame_asr.core.params import hint, parse, read_params
    from galgame_asr.core.paths import RAW
    from galgame_asr.core.reader import ShardReader
    from galgame_asr.experiment import curriculum
    from galgame_asr.experiment.params import Params
    from galgame_asr.labelling import queues, server
    from galgame_asr.labelling.desk import Desk
    from galgame_asr.manifests import corrections
    from galgame_asr.messages.errors import ConfigError

    values = read_params()
    parse(Params, values, "")
    if options.corpus not in values["corpora"]:
        known = hint(options.corpus, list(values["corpora"]))
        raise ConfigError(f"no corpus '{options.corpus}'. {known}")
    by = options.by or _git_name()
    items = queues.load(options.queue, options.corpus, curriculum.of_params(values))
    path = corrections.path_of(options.corpus)
    desk = Desk(items, path, by, options.queue)
    desk.decisions()  # a damaged file is told before the page opens
    names = {"corpus": options.corpus, "queue": options.queue, "by": by, "file": str(path)}
    server.serve(desk, ShardReader(RAW), names, options.port)


def _git_name() -> str:
    import subprocess

    from galgame_asr.messages.errors import ConfigError

    asked = ["git", "config", "user.name"]
    done = subprocess.run(asked, check=False, capture_output=True, text=True)
    if not (name := done.stdout.strip()):
        raise ConfigError("who decides? git has no user.name here: --by NAME says it")
    return name
